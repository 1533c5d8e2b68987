// Tooltips of the pictures' marks.

import { $ } from './words.js';

export const tooltip = { mark: null, isDismissed: false };

export function showTip(mark) {
  const [place, ring] = [$('tooltip'), $('ring')];
  if (mark !== tooltip.mark) tooltip.isDismissed = false;
  tooltip.mark = mark;
  ring.hidden = !mark?.isConnected;
  place.hidden = ring.hidden || tooltip.isDismissed;
  if (ring.hidden) return;
  place.textContent = mark.dataset.tip;
  const [box, tip] = [mark.getBoundingClientRect(), place.getBoundingClientRect()];
  // Around the mark and not on it, as its neighbours would cover it, and any colour of it is lost on some ground.
  const [width, height] = [box.width, box.height].map((length) => `${length}px`);
  Object.assign(ring.style, { transform: `translate(${box.x}px, ${box.y}px)`, width, height });
  const left = Math.min(Math.max(8, box.x + box.width / 2 - tip.width / 2), innerWidth - tip.width - 8);
  const above = box.y - tip.height - 8;
  place.style.transform = `translate(${Math.round(left)}px, ${Math.round(above < 8 ? box.bottom + 8 : above)}px)`;
}

export const markAt = (event) => (event.target instanceof Element ? event.target.closest('figure [data-tip]') : null);
export const focused = () => document.querySelector('[data-tip]:focus-visible');
