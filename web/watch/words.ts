// What a person reads when something is wrong.

const BY_CODE: Readonly<Record<number, string>> = {
  4000: "The broadcast is over.",
  4001: "The server is restarting. Trying again.",
  4008: "Your connection is too slow for this stream. Trying again.",
  4009: "This server is full. Trying again.",
  4103: "The broadcast was stopped.",
  4104: "There is no such room.",
};

const BY_STATUS: Readonly<Record<number, string>> = {
  403: "You may not watch this room.",
  409: "Nobody is live in this room yet. Waiting for the host.",
  404: "Nobody is live in this room yet. Waiting for the host.",
  503: "This server is full. Trying again.",
};

/** A sentence for a connection that ended: by the server's numbered reason, an HTTP status, or neither. */
export function explain(closeCode: number | null, status: number | null): string {
  const known = (closeCode !== null && BY_CODE[closeCode]) || (status !== null && BY_STATUS[status]);
  return known || "The connection was lost. Trying again.";
}
