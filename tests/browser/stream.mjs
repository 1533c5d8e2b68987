// A producer sends, a consumer counts, and the page changes.

import assert from 'node:assert/strict';
import { live, open, steps } from './browser.mjs';

let page;
const counted = () => page.locator('#summary').innerText().then((text) => Number(text.split(' ')[0].replace(',', '')));
const grown = async (than) => {
  while (!(await counted() > than)) await page.waitForTimeout(20);
};

await steps({
  async 'days come'() {
    page = await open();
    await live(page);
    await grown(400);
    await grown(await counted() + 20);
    assert.equal(await page.locator('.state.running').count(), 4);
  },
  async 'and the pictures with them'() {
    const months = page.locator('figure[data-picture=months]');
    await months.locator('[data-tip]').first().waitFor();
    const before = await months.innerHTML();
    while (await months.innerHTML() === before) await page.waitForTimeout(20);
  },
  async 'while a mark keeps the focus, and its tooltip'() {
    const mark = page.locator('figure[data-picture=months] [tabindex="0"]');
    await mark.focus();
    await page.keyboard.press('End');
    const label = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
    await grown(await counted() + 40);
    const focused = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
    assert.equal(focused.split(' ')[0], label.split(' ')[0]);
    assert.equal(await page.locator('#tooltip').innerText(), focused);
  },
});
