// A producer sends, a consumer counts, and the page changes.

import assert from 'node:assert/strict';
import { live, open, steps, until } from './browser.mjs';

let page;
const counted = () => page.locator('#summary').innerText().then((text) => Number(text.match(/([0-9,]+) days/)?.[1].replace(',', '') ?? 0));
const grown = (than) => until(`more than ${than} days`, async () => await counted() > than);

await steps({
  async 'days come'() {
    page = await open();
    await live(page);
    await grown(400);
    await grown(await counted() + 20);
    await until('all partitions run', async () => await page.locator('.state.running').count() === 4);
  },
  async 'and the pictures with them'() {
    const months = page.locator('figure[data-picture=year]');
    await months.locator('[data-tip]').first().waitFor();
    const before = await months.innerHTML();
    await until('another picture', async () => await months.innerHTML() !== before);
  },
  async 'while a mark keeps the focus, and its tooltip'() {
    const mark = page.locator('figure[data-picture=year] [tabindex="0"]');
    await mark.focus();
    await page.keyboard.press('End');
    // Read both at once, as the picture changes between two polls.
    const look = () => page.evaluate(() => [
      document.activeElement.getAttribute('aria-label'), document.getElementById('tooltip').innerText,
    ]);
    const [before] = await look();
    await grown(await counted() + 40);
    const [label, tooltip] = await look();
    assert.equal(label?.split(' ')[0], before.split(' ')[0]);
    assert.equal(tooltip, label);
  },
});
