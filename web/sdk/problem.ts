// What an answer that is not a yes says: problem details (RFC 9457), with the number of a reason where there is one.

export interface Problem {
  readonly status: number;
  readonly detail: string | null;
  /** media/reasons.py */
  readonly code: number | null;
  readonly retryAfterMs: number | null;
}

export async function readProblem(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => null); // no JSON: a proxy's own page, perhaps
  const fields = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const { detail, code } = fields;
  return {
    status: response.status,
    detail: typeof detail === "string" ? detail : null,
    code: typeof code === "number" ? code : null,
    retryAfterMs: retryAfterMs(response.headers.get("Retry-After")),
  };
}

/** RFC 9110, 10.2.3, as a number of seconds; dates are not read. */
export function retryAfterMs(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header) ? 1000 * Number(header) : null;
}
