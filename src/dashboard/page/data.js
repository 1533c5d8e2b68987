// The partitions as the server reported them.

/** Partitions by number, as the latest answer or event has them. */
export const partitions = new Map();
/** Of the latest answer or event. */
export const said = { version: null, failure: null, hint: null, dir: null, isDefault: true };

export const rows = () => [...partitions.values()].sort((a, b) => a.partition - b.partition);
export const hasDays = () => rows().some((row) => row.days > 0);

/** The states of partitions, the worst first, with the words for all of them together. */
const STATES = [
  ['unreadable', 'unreadable'], ['stalled', 'stalled'], ['silent', 'consumer silent'], ['waiting', 'waiting for Kafka'],
  ['stopped', 'stopped'], ['unknown', 'no consumer'],
];

/** The state of the worst partition, and its words. */
export function worst() {
  if (said.failure) return ['unreadable', 'unreadable'];
  if (partitions.size === 0) return ['unknown', 'nothing yet'];
  return STATES.find(([state]) => rows().some((row) => row.state === state)) ?? ['live', 'live'];
}

export function update(news) {
  if (news.dir !== undefined) [said.dir, said.isDefault] = [news.dir, news.is_default];
  said.failure = news.failure ?? null;
  said.hint = news.hint ?? null;
  news.gone?.forEach((number) => partitions.delete(number));
  news.partitions.forEach((row) => partitions.set(row.partition, row));
  said.version = news.version;
}
