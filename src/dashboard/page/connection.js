// The connection to the server: one answer, then the events after it; and its state on the page.

import { partitions, said, worst } from './data.js';
import { $, moment } from './words.js';

export const POLL_EVERY_MS = 2000;
const ANSWER_WITHIN_MS = 5000;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 2000;

export const connection = { stream: null, isAnswering: null, heard: null, failures: 0, opened: 0, retry: null, events: 0 };

/** No answer, or not the one that was asked for. */
export class Unanswered extends Error {}

export async function get(path) {
  try {
    const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (answer.ok) return await answer.text();
    throw new Error(`${answer.status} ${answer.statusText}`);
  } catch (error) {
    throw new Unanswered(`${path}: ${error.message}`);
  }
}

let take = () => {};

/** Calls `listener` with each answer and each event from now on. */
export function follow(listener) {
  take = listener;
  connect();
}

/** Asks, then listens for what comes after the answer; so nothing is missed, whatever server is there by now. */
export async function connect() {
  clearTimeout(connection.retry);
  if (document.hidden || !(await poll()) || document.hidden) return;
  connection.stream?.close();
  const stream = new EventSource(`api/events?since=${encodeURIComponent(said.version)}`);
  connection.stream = stream;
  stream.onopen = () => {
    connection.opened = Date.now();
    heard();
  };
  stream.onmessage = (event) => {
    connection.events += 1;
    heard();
    const news = JSON.parse(event.data);
    news.partitions.forEach((row) => { row.event = connection.events; });
    take(news);
  };
  // The browser would try again by itself, but not always, and after seconds.
  stream.onerror = lost;
}

/** Whether there was an answer. */
export async function poll() {
  const { events } = connection;
  let news;
  try {
    news = JSON.parse(await get('api/partitions'));
  } catch {
    connection.isAnswering = false;
    lost();
    return false;
  }
  connection.isAnswering = true;
  heard();
  // An event that came meanwhile is newer.
  const isNewer = (number) => partitions.get(number)?.event > events;
  [...partitions.keys()].filter((number) => !isNewer(number)).forEach((number) => partitions.delete(number));
  take({
    ...news,
    partitions: news.partitions.filter((row) => !isNewer(row.partition)),
    version: events === connection.events ? news.version : said.version,
  });
  return true;
}

function heard() {
  connection.heard = Date.now();
  showConnection();
}

function lost() {
  disconnect();
  const lasted = Date.now() - connection.opened > ANSWER_WITHIN_MS;
  connection.failures = lasted && connection.isAnswering ? 1 : connection.failures + 1;
  connection.retry = setTimeout(connect, Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (connection.failures - 1)));
  showConnection();
}

/** A page that nobody sees holds no connection: browsers allow a site only six. */
export function disconnect() {
  clearTimeout(connection.retry);
  connection.stream?.close();
  connection.stream = null;
}

/** The state of the whole: of the connection to the server if it is broken, or else of the worst partition. */
export function showConnection() {
  const { stream, isAnswering, heard, failures } = connection;
  const isLive = stream?.readyState === EventSource.OPEN && isAnswering;
  $('connection').dataset.stream = isLive ? 'live' : 'none';
  if (isAnswering === false) say('stale', `${heard ? `stale since ${moment(heard)}` : 'no answer'}, trying again`);
  else if (isLive) say(...worst());
  else if (failures > 0) say('reconnecting', 'reconnecting');
}

function say(state, text) {
  const place = $('connection');
  place.dataset.state = state;
  if (place.textContent !== text) place.textContent = text;
}
