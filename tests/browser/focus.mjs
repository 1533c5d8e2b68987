// The focus of the keyboard stays on a month while the picture changes around it.

import assert from 'node:assert/strict';
import { ask, live, open, steps } from './browser.mjs';

let page;
const days = async (count) => {
  for (let day = 0; day < count; day += 1) await ask('replace');
};
const bar = (tip) => page.locator(`figure[data-picture=year] [data-tip^="${tip}"]`);
const isHeld = async (tip) => {
  const label = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
  assert.match(label ?? 'nothing', new RegExp(`^${tip}`));
  assert.equal(await page.locator('#tooltip').innerText(), label);
  assert.equal(await page.locator('figure[data-picture=year] [tabindex]').count(), 1);
};

await steps({
  async 'one month comes before the one that is held'() {
    page = await open();
    await live(page);
    await bar('December 1869').waitFor();
    await page.locator('nav a[href="#year"]').focus();
    // A user of the keyboard sees the tooltip.
    await page.keyboard.press('Shift');
    await bar('November 1869').focus();
    await isHeld('November 1869');
    await days(31);
    await bar('January 1870').waitFor();
    await isHeld('November 1869');
  },
  async 'and it goes to its next year'() {
    await page.keyboard.press('End');
    await isHeld('December 1869');
    await days(334);
    await bar('December 1870').waitFor();
    await isHeld('December 1870');
  },
  async 'and the arrows go on from there'() {
    await page.keyboard.press('ArrowLeft');
    await isHeld('November 1870');
  },
});
