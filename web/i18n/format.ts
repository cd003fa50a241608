// Prices, counts and times as people of a language write them.

/** `amount` minor units (fen, cents) of an ISO 4217 currency; how many make one unit is the currency's own. */
export function price(amount: number, currency: string, locale: string): string {
  const form = currencyForm(currency, locale);
  if (!form) return `${amount / 100} ${currency}`;
  const digits = form.resolvedOptions().maximumFractionDigits ?? 2;
  return form.format(amount / 10 ** digits);
}

const forms = new Map<string, Intl.NumberFormat | null>();

/** Null for what is no currency: events may name their own, such as "coins". */
function currencyForm(currency: string, locale: string): Intl.NumberFormat | null {
  const key = `${locale} ${currency}`;
  const known = forms.get(key);
  if (known !== undefined) return known;
  let form: Intl.NumberFormat | null = null;
  try {
    form = new Intl.NumberFormat(locale, { style: "currency", currency });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  forms.set(key, form);
  return form;
}

/** 12,345 as 12.3K or 1.2万. */
export function count(n: number, locale: string): string {
  return new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 }).format(n);
}

/** What is left of `ms`, rounded up so that it shows 0:00 only when it is over: `4:59`, `1:02:03`. */
export function clock(ms: number): string {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (n: number): string => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}
