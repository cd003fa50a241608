// Who hears what. A hearer that throws is reported to the page, and costs the others nothing.

export class Emitter<Notices> {
  readonly #hearers = new Map<keyof Notices, Set<(notice: never) => void>>();

  on<N extends keyof Notices>(name: N, hear: (notice: Notices[N]) => void): () => void {
    const hearers = this.#hearers.get(name) ?? new Set();
    this.#hearers.set(name, hearers);
    // The same function may be given twice, and is then heard twice.
    const own = (notice: Notices[N]): void => hear(notice);
    hearers.add(own);
    return () => void hearers.delete(own);
  }

  emit<N extends keyof Notices>(name: N, notice: Notices[N]): void {
    for (const hear of [...(this.#hearers.get(name) ?? [])]) guarded(() => hear(notice as never));
  }

  clear(): void {
    this.#hearers.clear();
  }
}

/** Runs what the page gave us. What it throws is as if nobody had caught it: `window.onerror` and the console hear of it. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
