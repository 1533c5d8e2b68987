// The partitions as the server reported them.

/** Partitions by number, as the latest answer or event has them. */
export const partitions = new Map();
/** Of the latest answer or event. */
export const said = { version: null, failure: null, hint: null };

export const rows = () => [...partitions.values()].sort((a, b) => a.partition - b.partition);
export const hasDays = () => rows().some((row) => row.days > 0);

export function update(news) {
  said.failure = news.failure ?? null;
  said.hint = news.hint ?? null;
  news.gone?.forEach((number) => partitions.delete(number));
  news.partitions.forEach((row) => partitions.set(row.partition, row));
  said.version = news.version;
}
