// What keyboards and screen readers need of every page. Body of js_on_load of the top bar, before shell.js.
window.athanorKeyboard?.abort();
window.athanorKeyboard = new AbortController();
const always = { signal: window.athanorKeyboard.signal, capture: true };

// While a keyboard composes a word, as Chinese ones do, its keys are its own. Safari tells only by the code.
window.addEventListener("keydown", (event) => (event.isComposing || event.keyCode === 229) && event.stopImmediatePropagation(), always);

// Focus is never lost: what has it may be drawn anew, taken away, hidden or switched off. Then the same control gets it
// where there is one, else what stands at its place, else what the page calls its home, else the page's link.
const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex]";
const REGIONS = "[data-part], [data-pane], dialog, form, section, nav, .block";
const isThere = (node) => node.isConnected && !node.disabled && node.checkVisibility();
const controlName = (node) => [node.tagName, node.id || node.getAttribute("aria-label") || Object.values(node.dataset).join() || node.textContent].join();
const tabStops = (region) => [...region.querySelectorAll(CONTROLS)].filter((node) => node.tabIndex >= 0);

let lastFocus = null;
function takeNote(node) {
  const dialog = node.closest("dialog");
  const behind = dialog === lastFocus?.dialog ? lastFocus?.behind : lastFocus;
  const regions = [];
  for (let region = node.parentElement?.closest(REGIONS); region && regions.length < 4; region = region.parentElement?.closest(REGIONS)) regions.push([region, tabStops(region).indexOf(node)]);
  lastFocus = { node, name: controlName(node), regions, dialog, behind: dialog ? behind : null };
}

function successor({ node, name, regions, behind }) {
  if (isThere(node)) return node;
  for (const [region, place] of regions) {
    if (!region.isConnected) continue;
    const same = [...region.querySelectorAll(node.tagName)].find((other) => controlName(other) === name && isThere(other));
    if (same) return same;
    const there = tabStops(region).filter(isThere);
    if (there.length) return there[Math.min(Math.max(place, 0), there.length - 1)];
  }
  if (behind) return successor(behind);
  return [...document.querySelectorAll("[data-focus-home], .athanor-rail [aria-current]")].filter(isThere).at(-1);
}

function holdFocus() {
  const active = document.activeElement;
  if (!lastFocus || (active && active !== document.body && active !== lastFocus.node) || isThere(lastFocus.node)) return;
  successor(lastFocus)?.focus({ preventScroll: true });
}

document.addEventListener("focusin", (event) => takeNote(event.target), always);
// Who presses on nothing wants nothing to have the focus.
document.addEventListener("pointerdown", () => (lastFocus = null), always);
document.addEventListener("athanor:shown", holdFocus, always);
const changes = new MutationObserver(holdFocus);
changes.observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled", "hidden", "open"] });
always.signal.addEventListener("abort", () => changes.disconnect());

// Arrows go through tabs, which they open, and through toolbars, which are one stop for the tab key; so is a list of
// many controls that says which in data-rove, and takes arrows itself.
const ALONG = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
document.addEventListener("focusin", ({ target }) => {
  const bar = target.closest("[role=toolbar], [data-rove]");
  const stops = bar ? barStops(bar) : [];
  if (stops.includes(target)) for (const node of stops) node.tabIndex = node === target ? 0 : -1;
}, always);
const barStops = (bar) => [...bar.querySelectorAll(bar.dataset.rove ?? "button, summary")].filter((node) => !node.closest("details :not(summary)"));
document.addEventListener("keydown", (event) => {
  const bar = ALONG[event.key] && event.target.closest("[role=tablist], [role=toolbar]");
  if (!bar || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const stops = barStops(bar).filter(isThere);
  const at = stops.indexOf(event.target);
  if (at < 0) return;
  const next = stops[Math.min(Math.max(at + ALONG[event.key], 0), stops.length - 1)];
  next.focus();
  if (bar.matches("[role=tablist]")) next.click();
  event.preventDefault();
  event.stopPropagation();
}, always);

// Says something to who does not see the page: once, and what comes at the same time together.
const announcer = Object.assign(document.createElement("div"), { id: "announcer", className: "for-readers" });
announcer.setAttribute("role", "status");
document.getElementById(announcer.id)?.remove();
document.body.append(announcer);
let toSay = [];
function announce(text) {
  if (!text || toSay.includes(text)) return;
  toSay.push(text);
  if (toSay.length > 1) return;
  announcer.textContent = "";
  setTimeout(() => { announcer.textContent = toSay.join("\n"); toSay = []; }, 250);
}
