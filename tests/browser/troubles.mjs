// The page for an empty DIR, a broken checkpoint, consumers that make no progress, Kafka away, and short records.

import assert from 'node:assert/strict';
import { ask, isAccessible, live, open, steps, tolerate } from './browser.mjs';

let page;
const notice = (text) => page.locator('#notices > div', { hasText: text }).waitFor();

await steps({
  async 'an empty DIR'() {
    page = await open();
    await live(page);
    await notice('almanac consumer -d /');
    assert.equal(await page.locator('#connection').innerText(), 'nothing yet');
    assert.equal(await page.locator('figure:visible').count(), 0);
    await isAccessible(page, 'empty');
  },
  async 'consumers that have counted nothing yet'() {
    await ask('begin');
    await ask('running');
    await notice('No day is counted yet');
    assert.equal(await page.locator('#partitions-table tbody tr').count(), 4);
  },
  async 'records that are all rejected'() {
    await ask('rejected');
    await notice('All records of topic temperatures are rejected');
    const text = await page.locator('#notices').innerText();
    for (const words of ['Partition 2: ', 'malformed_protobuf', 'not a report', 'partition-2.rejected.jsonl']) {
      assert.ok(text.includes(words), text);
    }
    await isAccessible(page, 'rejected');
    await ask('running');
    await notice('No day is counted yet');
  },
  async 'the first days'() {
    for (let day = 0; day < 3; day += 1) await ask('replace');
    await page.locator('figure[data-picture=year] [data-tip^="January 1869"]').waitFor();
    await page.locator('figure[data-picture=history] svg').waitFor();
    await page.locator('#notices:empty').waitFor({ state: 'attached' });
    assert.equal(await page.locator('#connection').innerText(), 'live');
    assert.ok(await page.locator('#stripes').isHidden(), 'no stripes below ten years');
    await isAccessible(page, 'a month in progress');
  },
  async 'a month of which there is nothing'() {
    const other = await open('?month=August');
    await other.getByText('No August is recorded yet').waitFor();
    await other.locator('#month-after').click();
    await other.locator('figure[data-picture=history] svg').waitFor();
    await other.close();
  },
  async 'stalled, silent, Kafka away, stopped'() {
    for (const state of ['stalled', 'silent', 'waiting', 'stopped']) {
      await ask(state);
      await notice(`Partitions 0, 1, 2 and 3 are ${state}`);
      assert.equal(await page.locator(`.state.${state}`).count(), 4);
      await page.locator(`#connection[data-state=${state}]`).waitFor();
      await isAccessible(page, state);
    }
  },
  async 'a broken checkpoint'() {
    await ask('break');
    await notice('Partition 2 can’t be read');
    await page.locator('#partitions-table tbody tr:nth-child(3) .state.unreadable').waitFor();
    assert.match(await page.locator('#notices').innerText(), /partition-2\.json: .*line 1.*\n+hint: /);
    await isAccessible(page, 'unreadable');
  },
  async 'and mended'() {
    await ask('mend');
    await page.locator('.state.unreadable').waitFor({ state: 'detached' });
    await page.locator('figure[data-picture=year] [data-tip^="January 1869"]').waitFor();
  },
  async 'and all of it gone'() {
    // The files are deleted one by one. A picture may be requested whose files are gone when the server draws it.
    tolerate(/^404: .*\/plot\/|status of 404/);
    await ask('empty');
    await notice('Nothing is here yet');
    assert.equal(await page.locator('figure:visible').count(), 0);
    await ask('mend');
    await page.locator('figure[data-picture=year] [data-tip^="January 1869"]').waitFor();
  },
  async 'a month, a year, and more'() {
    for (const [span, end, last] of [
      ['1 month', '1869-02-01', '31 January 1869'],
      ['1 year', '1870-01-01', '31 December 1869'],
      ['3 years', '1872-01-01', '31 December 1871'],
      ['30 years', '1899-01-01', '31 December 1898'],
    ]) {
      await ask(`until ${end}`);
      await page.locator('#span', { hasText: `to ${last}` }).waitFor();
      await page.locator(`figure[data-picture=year] [data-tip^="${last.slice(3)}"]`).waitFor();
      await isAccessible(page, span);
    }
  },
});
