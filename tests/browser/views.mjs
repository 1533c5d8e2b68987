// Each view of a record of 155 years, by mouse, by keyboard and by link.

import assert from 'node:assert/strict';
import { isAccessible, live, open, PATIENCE_MS, steps, url } from './browser.mjs';

/** What a page of 155 years may take over the network, headers left out. */
const BYTES_MAX = 60_000;

let page;
const figure = (name) => page.locator(`figure[data-picture=${name}]`);
const marks = (name) => figure(name).locator('[data-tip]');
const tooltip = () => page.locator('#tooltip');
const query = () => Object.fromEntries(new URL(page.url()).searchParams);
const show = async (name) => {
  await page.locator(`#${name}`).scrollIntoViewIfNeeded();
  await marks(name).first().waitFor();
};
const eventually = async (read, expected) => {
  for (const deadline = Date.now() + PATIENCE_MS; ;) {
    const found = await read();
    if (found === expected || Date.now() > deadline) return assert.equal(found, expected);
    await page.waitForTimeout(50);
  }
};
/** Where a script has pushed it, the browser hears of a new URL a moment later. */
const hasChosen = (month) => eventually(() => query().month, month);
const restart = async (path, options) => {
  await page?.context().close();
  page = await open(path, options);
  await live(page);
};

await steps({
  async 'the first paint'() {
    await restart();
    const paints = [];
    for (let time = 0; time < 3; time += 1) {
      await page.reload();
      await live(page);
      // The browser may note it after the page is live.
      const paint = await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
      paints.push(await paint.jsonValue());
    }
    console.log(`first paint after ${paints.map(Math.round).join(', ')} ms`);
  },

  async 'bytes over the network'() {
    await restart();
    for (const name of ['year', 'history', 'anomalies', 'stripes', 'records']) await show(name);
    const found = await page.evaluate(() => ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type))
      .map(({ name, encodedBodySize }) => [new URL(name).pathname, encodedBodySize]));
    const total = found.reduce((sum, [, size]) => sum + size, 0);
    found.sort(([, a], [, b]) => b - a);
    console.log(`${total} bytes: ${found.map(([path, size]) => `${path} ${size}`).join(', ')}`);
    assert.ok(total <= BYTES_MAX, `${total} bytes`);
  },

  async 'all the pictures'() {
    // A page may be live before its first picture has come.
    await show('year');
    assert.equal(await marks('year').count(), 12);
    await show('history');
    assert.equal(await marks('history').count(), 155);
    await show('anomalies');
    assert.equal(await marks('anomalies').count(), 155 * 12);
    await show('stripes');
    assert.equal(await marks('stripes').count(), 155);
    // The roles are the page's, as marks can be reached in it; the words are the pictures'.
    for (const name of ['year', 'history', 'anomalies', 'stripes', 'records']) {
      const svg = figure(name).locator('svg');
      assert.equal(await svg.getAttribute('role'), 'group');
      assert.ok(await svg.getAttribute('aria-label'));
      assert.ok((await svg.locator('desc').textContent()).length > 40);
    }
  },

  async 'the first sentences'() {
    const text = (name) => page.locator(`#${name}`).innerText();
    assert.match(await text('sentence'), /^December 2023 was .* °C (warmer|colder) than normal: the .* of 155 Decembers/);
    assert.equal(await text('normal'), 'Normal: the mean of December over 1991–2020.');
    assert.match(await page.title(), /^temperatures · December 2023$/);
    assert.equal(await page.locator('#banner rect:not(.paper)').count(), 155);
    const image = await page.locator('meta[property="og:image"]').getAttribute('content');
    const answer = await page.request.get(image);
    assert.equal(answer.headers()['content-type'], 'image/png');
  },

  async 'the files of a picture'() {
    for (const [name, kinds] of [['year', 3], ['history', 3], ['anomalies', 3], ['stripes', 3], ['records', 3]]) {
      const links = await page.locator(`#${name} .links a[download]`).all();
      assert.equal(links.length, kinds);
      for (const link of links) assert.equal((await page.request.get(url + await link.getAttribute('href'))).status(), 200);
    }
  },

  async 'the heat map of temperatures'() {
    await show('anomalies');
    await page.locator('#colours [value=heatmap]').click();
    await figure('heatmap').locator('svg[aria-label^="Every month of every year"]').waitFor();
    assert.equal(query().colours, 'heatmap');
    await page.locator('#colours [value=anomalies]').click();
    await figure('anomalies').locator('svg[aria-label^="Every month against its normal"]').waitFor();
  },

  async 'the partitions'() {
    const rows = page.locator('#partitions-table tbody tr');
    assert.equal(await rows.count(), 4);
    assert.match(await rows.nth(2).innerText(), /^2\s+stopped\s/);
    assert.equal(await page.locator('#connection').innerText(), 'stopped');
    assert.match(await page.locator('#totals').innerText(), /^counted\s+56,6\d\d\s/);
    for (const link of await page.locator('#files a').all()) {
      const name = await link.getAttribute('href');
      // A consumer that has stopped is not ready.
      if (name !== 'readyz') assert.equal((await page.request.get(url + name)).status(), 200, name);
    }
  },

  async 'tooltips for a mouse'() {
    await marks('year').nth(6).hover();
    assert.match(await tooltip().innerText(), /^July 2023: .* °C, 31 days; warmest day .*, coldest day .*/);
    await page.mouse.move(5, 5);
    assert.ok(await tooltip().isHidden());
    await show('stripes');
    await marks('stripes').nth(100).hover();
    assert.match(await tooltip().innerText(), /^1969: /);
    await page.keyboard.press('Escape');
    assert.ok(await tooltip().isHidden());
  },

  async 'tooltips for a finger'() {
    const mouse = page;
    page = await open('', { hasTouch: true, viewport: { width: 360, height: 740 } });
    await live(page);
    await marks('year').nth(2).scrollIntoViewIfNeeded();
    // The page gets the scroll event with the next frame, and takes it for the reader's.
    await page.evaluate(() => new Promise((resolve) => {
      requestAnimationFrame(() => requestAnimationFrame(resolve));
    }));
    await marks('year').nth(2).tap();
    assert.match(await tooltip().innerText(), /^March 2023: /);
    const { x, width } = await tooltip().boundingBox();
    assert.ok(x >= 0 && x + width <= 360, 'a tooltip within the screen');
    await page.locator('h1').tap();
    assert.ok(await tooltip().isHidden());
    await page.context().close();
    page = mouse;
  },

  async 'tooltips for keys'() {
    await page.locator('#theme [value=dark]').focus();
    await page.keyboard.press('Tab');
    assert.match(await tooltip().innerText(), /^January 2023: /);
    await page.keyboard.press('ArrowRight');
    assert.match(await tooltip().innerText(), /^February 2023: /);
    await page.keyboard.press('End');
    assert.match(await tooltip().innerText(), /^December 2023: /);
    await page.keyboard.press('ArrowRight');
    assert.match(await tooltip().innerText(), /^December 2023: /);
    await page.keyboard.press('Home');
    await page.keyboard.press('Escape');
    assert.ok(await tooltip().isHidden());
    await page.keyboard.press('ArrowRight');
    assert.ok(await tooltip().isVisible());
    // A picture is one stop of the Tab key.
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'SUMMARY');
    await page.keyboard.press('Shift+Tab');
    assert.match(await tooltip().innerText(), /^February 2023: /);
    await page.keyboard.press('Enter');
    await hasChosen('February');
  },

  async 'tips that come once they are wanted'() {
    await show('history');
    await marks('history').nth(36).hover();
    await tooltip().filter({ hasText: /^February 1905: .* °C, 28 days; warmest day .*, coldest day .*; .* against normal, the / }).waitFor();
    await show('anomalies');
    await figure('anomalies').locator('[data-year="1905"][data-month="5"]').hover();
    await tooltip().filter({ hasText: /^May 1905: .* 30 days, 1 missing; / }).waitFor();
    await page.mouse.move(5, 5);
  },

  async 'keys in a grid'() {
    await show('anomalies');
    await marks('anomalies').first().click();
    await figure('anomalies').locator('[tabindex="0"]').focus();
    const at = async (key) => {
      await page.keyboard.press(key);
      return page.evaluate(() => document.activeElement.getAttribute('aria-label').split(':')[0]);
    };
    assert.equal(await at('Home'), 'January 1869');
    assert.equal(await at('ArrowDown'), 'February 1869');
    assert.equal(await at('ArrowRight'), 'February 1870');
    assert.equal(await at('ArrowUp'), 'January 1870');
    assert.equal(await at('End'), 'December 2023');
  },

  async 'a link to a section'() {
    for (const [name, top] of [['anomalies', 12], ['records', 12]]) {
      await restart(`#${name}`);
      await marks('stripes').first().waitFor();
      await eventually(async () => Math.round((await page.locator(`#${name}`).boundingBox()).y), top);
    }
  },

  async 'a month chosen'() {
    await restart('?month=july');
    await eventually(() => page.locator('#month').inputValue(), 'July');
    await marks('year').nth(3).click();
    await hasChosen('April');
    const label = () => figure('history').locator('svg').getAttribute('aria-label');
    await eventually(async () => (await label()).split(',')[0], 'April');
    await page.locator('#month-after').click();
    await hasChosen('May');
    await page.locator('#month').selectOption('October');
    await hasChosen('October');
    await page.goBack();
    await page.goBack();
    await eventually(() => page.locator('#month').inputValue(), 'April');
    await page.goForward();
    await eventually(() => page.locator('#month').inputValue(), 'May');
  },

  async 'degrees Fahrenheit'() {
    await restart();
    await page.locator('#unit [value=f]').click();
    await eventually(() => query().unit, 'f');
    await eventually(() => figure('year').locator('text').filter({ hasText: '(°F)' }).count(), 2);
    await page.goto(url);
    await eventually(() => page.locator('#unit [value=f]').getAttribute('aria-pressed'), 'true');
    await page.goto(`${url}?unit=c`);
    await eventually(() => page.locator('#unit [value=c]').getAttribute('aria-pressed'), 'true');
  },

  async 'light and dark'() {
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await restart('', { colorScheme: 'light' });
    const light = await paper();
    await page.locator('#theme [value=dark]').click();
    const dark = await paper();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await paper(), dark);
    await page.locator('#theme [value=auto]').click();
    assert.equal(await paper(), light);
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.equal(await paper(), dark);
  },

  async 'a link to a place'() {
    await restart('?month=March&unit=f#anomalies');
    await marks('anomalies').first().waitFor();
    const isInSight = (place) => place.getBoundingClientRect().top < innerHeight / 2;
    await eventually(() => page.locator('#anomalies').evaluate(isInSight), true);
    assert.equal(await page.locator('#month').inputValue(), 'March');
  },

  async 'the values as tables'() {
    await restart('?month=July');
    for (const [name, rows] of [['year', 12], ['history', 155], ['anomalies', 155], ['stripes', 155], ['records', 4]]) {
      await show(name);
      await page.locator(`#${name} summary`).click();
      await eventually(() => page.locator(`#${name} tbody tr`).count(), rows);
    }
    const tip = await marks('year').first().getAttribute('data-tip');
    const value = await page.locator('#year tbody td').first().innerText();
    assert.ok(tip.startsWith(`January 2023: ${value} °C`), `${value} in ${tip}`);
    await page.locator('#unit [value=f]').click();
    await eventually(() => page.locator('#year thead').innerText().then((head) => head.includes('°F')), true);
  },

  async 'a day that is missing'() {
    await page.locator('#month').selectOption('May');
    const line = page.locator('#history tbody tr', { has: page.getByText('1905', { exact: true }) });
    await eventually(() => line.locator('td').last().innerText(), '1: 10');
    assert.equal(await figure('anomalies').locator('text', { hasText: 'days missing' }).count(), 1);
  },

  async 'nothing against accessibility'() {
    await isAccessible(page, '155 years');
  },

  async 'every width'() {
    await restart();
    for (const width of [320, 360, 500, 800, 1100, 1280, 1440, 1920]) {
      await page.setViewportSize({ width, height: 900 });
      // Read both at once, as a scroll bar may come or go with another picture.
      const isDrawnWide = (figure) =>
        figure.querySelector('svg')?.getAttribute('width') === String(Math.floor(figure.clientWidth / 20) * 20);
      await eventually(() => figure('year').evaluate(isDrawnWide), true);
      const fits = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
      assert.ok(fits, `nothing reaches beyond ${width} px`);
    }
  },

  async 'printed, the same from each screen'() {
    const drawn = () => page.locator('figure:visible svg').evaluateAll((all) => all.map((svg) => svg.getAttribute('width')).join());
    for (const width of [360, 800, 1920]) {
      await restart('', { viewport: { width, height: 900 } });
      for (const name of ['year', 'history', 'anomalies', 'stripes', 'records']) await show(name);
      const onScreen = await drawn();
      await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
      assert.equal(await drawn(), '640,640,1280,640,640');
      // Chromium lays a page of A4 out like this.
      await page.emulateMedia({ media: 'print' });
      await page.setViewportSize({ width: 718, height: 1047 });
      const outside = await page.locator('figure:visible text').evaluateAll((all) => all.filter((text) => {
        const { left, right } = text.getBoundingClientRect();
        // Rules and letters begin within a pixel or two of the margin.
        return left < -2 || right > innerWidth + 2;
      }).map((text) => text.textContent));
      assert.deepEqual(outside, [], `from ${width} px`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight), 'one page');
      await page.emulateMedia({ media: 'screen' });
      await page.setViewportSize({ width, height: 900 });
      await page.evaluate(() => dispatchEvent(new Event('afterprint')));
      await eventually(drawn, onScreen);
    }
  },

  async 'a browser that keeps nothing'() {
    const context = page.context();
    await context.addInitScript(() => Object.defineProperty(window, 'localStorage', {
      get() { throw new DOMException('no', 'SecurityError'); },
    }));
    await page.goto(url);
    await live(page);
    await page.locator('#theme [value=dark]').click();
    await page.locator('#unit [value=f]').click();
    await eventually(() => page.locator('#unit [value=f]').getAttribute('aria-pressed'), 'true');
  },
});
