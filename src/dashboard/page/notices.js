// The notices: one for each thing that is wrong, with a command to copy.

import { hasDays, partitions, said } from './data.js';
import { $, element, list, moment } from './words.js';

export function showNotices(all) {
  const found = notices(all).map(([tone, title, text]) => {
    const paragraphs = text.split('\n').map((line) => element('p', {}, ...withCode(line)));
    return element('div', { className: tone }, element('strong', { textContent: title }), ...paragraphs);
  });
  const place = $('notices');
  const isSame = found.length === place.children.length
    && found.every((notice, index) => notice.isEqualNode(place.children[index]));
  // A screen reader would say it again.
  if (!isSame) place.replaceChildren(...found);
}

/** As [tone, title, text]. Nothing in here counts seconds: it is read out whenever it changes. */
function notices(all) {
  if (said.failure) return [['bad', 'The directory can’t be read', withHint(said.failure, said.hint)]];
  if (all.length === 0) {
    return [['plain', 'Nothing is here yet', `This page shows \`${said.dir ?? 'files'}\`, which has no \`partition-N.json\` yet.\n`
      + `Start everything on this machine: \`${command('up')}\`\n`
      + `Or, if Kafka and a producer run already, the consumer: \`${command('consumer')}\``]];
  }
  const unreadable = all.filter((row) => row.state === 'unreadable');
  const found = unreadable.map((row) => ['bad', `Partition ${row.partition} can’t be read`, withHint(row.error, row.hint)]);
  found.push(...rejections(all));
  for (const [state, tone, title, text] of STANDSTILLS) {
    const rows = all.filter((row) => row.state === state);
    const numbers = list(rows.map((row) => row.partition));
    const subject = rows.length === 1 ? `Partition ${numbers} is` : `Partitions ${numbers} are`;
    if (rows.length > 0) found.push([tone, `${subject} ${title}`, text(rows)]);
  }
  if (found.length === 0 && !hasDays()) {
    found.push(['plain', 'No day is counted yet', `A consumer waits for records. Send some: \`almanac producer${topicOf(all)}\``]);
  }
  return found;
}

function withHint(fact, hint) {
  return hint ? `${fact}\nhint: ${hint}` : fact;
}

/** One notice of all partitions whose records are all rejected. */
function rejections(all) {
  const rows = all.filter((row) => row.all_rejected);
  if (rows.length === 0) return [];
  const whose = hasDays()
    ? `partition${rows.length === 1 ? '' : 's'} ${list(rows.map((row) => row.partition))}`
    : `topic ${rows[0].topic}`;
  const lines = rows.map(({ partition, all_rejected: { first_reason: reason } }) => {
    const first = reason ? `the first one as \`${reason}\`${REASONS[reason] ? `, since ${REASONS[reason]}` : ''}` : 'none counts';
    return `Partition ${partition}: ${first}. \`partition-${partition}.rejected.jsonl\` has each record and its reason.`;
  });
  return [['bad', `All records of ${whose} are rejected`, lines.join('\n')]];
}

const REASONS = {
  no_value: 'it has no value',
  malformed_protobuf: 'its value is not a report in protobuf',
  invalid_date: 'its date is not a day of the calendar',
  invalid_degrees: 'its degrees are not a temperature',
  invalid_offset: 'its batch does not say which offset it has',
  too_large: 'its key, value or station ID is too large',
  other_station: 'it is of another station',
  unreadable_batch: 'its batch can’t be decoded',
};

const STANDSTILLS = [
  ['waiting', 'doubt', 'waiting', (rows) => `${causes(rows) || 'Kafka does not answer'}. The consumer runs, and resumes `
    + 'when Kafka answers.'],
  ['stalled', 'doubt', 'stalled', (rows) => 'There is lag, and no new checkpoint'
    + `${since(rows, 'stalled_since')}. ${causes(rows) || 'The consumer prints the reason on its stderr'}.`],
  ['silent', 'doubt', 'silent', (rows) => `The consumer has written no status${since(rows, 'written')}. It was killed or `
    + `paused, or cannot write. Resume it: ${resume(rows)}`],
  ['stopped', 'plain', 'stopped', (rows) => `The consumer was stopped. Resume it: ${resume(rows)}`],
  ['unknown', 'plain', 'without a consumer', (rows) => `No consumer has written a status. Start one: ${resume(rows)}`],
];

function causes(rows) {
  return list([...new Set(rows.map((row) => row.cause).filter(Boolean))]);
}

function since(rows, field) {
  const first = rows.map((row) => row.consumer?.[field]).filter(Boolean).sort()[0];
  return first ? ` since ${moment(first)}` : '';
}

function resume(rows) {
  const numbers = rows.length === partitions.size ? '' : ` ${rows.map((row) => row.partition).join(' ')}`;
  return `\`${command('consumer')}${topicOf(rows)}${numbers}\``;
}

/** A command to copy: with the directory that this page shows. */
function command(name) {
  const isPlain = /^[\w@%+=:,./-]+$/.test(said.dir ?? '');
  const dir = isPlain ? said.dir : `'${said.dir?.replaceAll("'", "'\\''")}'`;
  return `almanac ${name}${said.isDefault ? '' : ` -d ${dir}`}`;
}

function topicOf(rows) {
  const topic = rows.map((row) => row.topic).find(Boolean) ?? 'temperatures';
  return topic === 'temperatures' ? '' : ` -t ${topic}`;
}

/** What stands between backticks, as code. */
function withCode(text) {
  return text.split('`').map((part, index) => (index % 2 ? element('code', { textContent: part }) : part));
}
