// The tags of the whole folder with their counts: to filter by, to add, to rename, delete and merge everywhere.
const tagList = { search: "", sort: kept("tagsort", "count"), click: kept("tagclick", "filter"), chosen: new Set(), offset: 0, answer: null, fewer: "", open: "", together: null };
const quoted = (tag) => `tag:"${tag.replace(/[\\*?"\u201c\u201d]/g, "\\$&")}"`;

let tagsTicket = 0;
async function loadTags(offset = 0) {
  if (!state.info || document.body.dataset.page !== "captions") return;
  const mine = ++tagsTicket;
  const answer = await ask("tags", { ...filtered(), search: tagList.search, sort: tagList.sort, fewer: Number(tagList.fewer) || 0, offset });
  if (!answer?.tags || mine !== tagsTicket) return;
  if (likeness.folder !== state.folder || likeness.answer?.num !== state.info.num) loadLikeness();
  tagList.answer = offset && tagList.answer ? { ...answer, tags: [...tagList.answer.tags, ...answer.tags] } : answer;
  drawTags();
}

function setFilter(text) {
  const box = root.querySelector("#captions-filter");
  box.value = text;
  box.dispatchEvent(new Event("input"));
}

// A tag is put into the filter, or taken out of it where it stands already.
function filterBy(tag, negative = false) {
  const term = (negative ? "not " : "") + quoted(tag);
  const parts = state.filter.trim() ? state.filter.split(/ and (?=(?:not )?tag:")/) : [];
  const bare = parts.filter((other) => other !== quoted(tag) && other !== "not " + quoted(tag));
  setFilter(parts.includes(term) ? bare.join(" and ") : [...bare.map((text) => (/ or /.test(text) && !/^\(.*\)$/.test(text) ? `(${text})` : text)), term].join(" and "));
}

function tagRow([tag, all, shown, category, translation]) {
  const chosen = tagList.chosen.has(tag);
  const term = quoted(tag);
  const inFilter = state.filter.includes("not " + term) ? "is-out" : state.filter.includes(term) ? "is-in" : "";
  const main = el("button", { type: "button", class: `tag-main ${category ? "cat-" + category : ""} ${highlighted(tag) ? "is-highlighted" : ""}`, "data-tag": tag, title: translation ? `${tag} \u00b7 ${translation}` : tag,
    onclick: (event) => { if (event.ctrlKey || event.metaKey) chooseTag(tag); else if (tagList.click === "add") addTags(tag); else filterBy(tag, event.shiftKey || event.altKey); } },
    el("span", {}, tag), translation ? el("small", {}, translation) : null, el("b", {}, shown === all ? many(all) : `${many(shown)} / ${many(all)}`));
  return el("li", { class: `${inFilter} ${chosen ? "is-chosen" : ""}` },
    el("input", { type: "checkbox", "aria-label": words("tags.choose", { tag }), checked: chosen, onchange: () => chooseTag(tag) }), main,
    iconButton("&", words("together.open", { tag }), () => openTogether(tag), { class: "small-button tag-not", "aria-expanded": String(tagList.open === tag), "data-tool": "together" }),
    iconButton("\u2212", words("tags.without", { tag }), () => filterBy(tag, true), { class: "small-button tag-not" }),
    tagList.open === tag ? togetherNode(tag) : null);
}

// What stands beside a tag: a click shows the pictures with both.
async function openTogether(tag) {
  tagList.open = tagList.open === tag ? "" : tag;
  tagList.together = null;
  drawTags();
  if (!tagList.open) return;
  const answer = await ask("together", { tag });
  if (!answer?.tags || tagList.open !== tag) return;
  tagList.together = answer;
  drawTags();
  part("tags").querySelector(".together")?.closest("li").scrollIntoView({ block: "nearest" });
}

function togetherNode(tag) {
  const { together } = tagList;
  if (!together) return el("p", { class: "together quiet" }, "\u2026");
  const both = (other) => setFilter(`${quoted(tag)} and ${quoted(other)}`);
  const percent = (share) => `${(100 * share).toLocaleString(props.value.language, { maximumFractionDigits: share < 0.1 ? 1 : 0 })} %`;
  const rows = together.tags.map(([other, count, share, translation, always]) => el("li", {}, el("button", { type: "button", class: "tag-main" + (always ? " is-always" : ""), "data-both": other, title: words(always ? "together.always" : "together.both", { tag, other }), onclick: () => both(other) },
    el("span", {}, other), translation ? el("small", {}, translation) : null, el("b", {}, `${many(count)} \u00b7 ${percent(share)}`))));
  return el("div", { class: "together" }, el("p", { class: "quiet" }, words(rows.length ? "together" : "together.none", { tag })), rows.length ? el("ul", {}, ...rows) : null);
}

// Tags that only few pictures have: often mistyped.
function setFewer(value) {
  tagList.fewer = value;
  tagList.chosen.clear();
  loadTags();
}
const fewerNode = () => el("label", { class: "tag-fewer" }, words("tags.fewer"), el("input", { type: "number", min: "1", class: "data-search", id: "captions-tag-fewer", "aria-label": words("tags.fewer.label"), oninput: later(200, (event) => setFewer(event.target.value)) }), words("tags.fewer.pictures"));
const showFewer = () => button(words("tags.fewer.show"), () => setFilter(`rarest: < ${Number(tagList.fewer)}`), { "data-part": "fewer-show", title: words("tags.fewer.show.help") });

// Arrows go from tag to tag, and to what can be done with one: the whole list is one stop of the tab key.
function tagKey(event) {
  const [down, along] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [-Infinity, 0], End: [Infinity, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
  if (down === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  const within = (place, items) => items[Math.min(Math.max(place, 0), items.length - 1)];
  const rows = [...part("tags").children];
  const at = rows.findIndex((row) => row.contains(event.target));
  const controls = (row) => [...row.querySelectorAll("input, button")];
  within(controls(rows[at]).indexOf(event.target) + along, controls(within(at + down, rows))).focus();
  event.preventDefault();
  event.stopPropagation();
}

function chooseTag(tag) {
  if (!tagList.chosen.delete(tag)) tagList.chosen.add(tag);
  drawTags();
}

// Asks for one text; resolves to null when it is given up.
function askText(title, value, label, verb) {
  return new Promise((done) => {
    const close = (answer) => { dialog.close(); dialog.remove(); done(answer); };
    const input = el("input", { class: "data-search", id: "captions-asked", type: "text", value, "aria-label": label, spellcheck: "false" });
    const dialog = el("dialog", { class: "athanor-dialog ask-dialog", "aria-label": title },
      el("header", {}, el("strong", {}, title)), el("div", { class: "ask-body" }, el("label", {}, label, suggesting(input, (text) => close(text)))),
      el("div", { class: "dialog-foot" }, el("span", {}), button(words("cancel"), () => close(null)), button(verb, () => close(input.value), { class: "main-button" })));
    dialog.addEventListener("cancel", () => close(null));
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

async function changeTags(operation, values) {
  await save();
  const answer = await ask("apply", { operation, values, scope: "all" });
  if (!answer || answer.error) return;
  tagList.chosen.clear();
  said(answer);
  took(answer);
  look();
}

async function renameChosen() {
  const tags = [...tagList.chosen];
  const merging = tags.length > 1;
  const name = await askText(words(merging ? "tags.merge.title" : "tags.rename.title"), tags[0], words(merging ? "tags.merge.into" : "tags.rename.to", { num: tags.length, tag: tags[0] }), words(merging ? "tags.merge.do" : "tags.rename.do"));
  if (name?.trim()) changeTags("merge", { tags, into: name.trim() });
}

function drawTags() {
  const { answer, chosen } = tagList;
  if (!answer) return;
  part("tags").replaceChildren(...(answer.tags.length ? answer.tags.map(tagRow) : state.info.num ? [el("li", { class: "quiet" }, words(answer.num ? "tags.none_found" : "tags.none_yet"))] : []));
  tell(part("tags-num"), words("tags.num", { num: many(answer.num) }));
  part("tags-more").hidden = answer.tags.length >= answer.num_found;
  const tools = chosen.size
    ? [button(words(chosen.size > 1 ? "tags.merge" : "tags.rename"), renameChosen, { "data-tool": "rename" }), button(words("tags.none"), () => { chosen.clear(); drawTags(); }), button(words("tags.delete"), () => changeTags("merge", { tags: [...chosen], into: "" }), { "data-tool": "delete" })]
    : Number(tagList.fewer) && answer.tags.length ? [button(words("tags.choose_listed"), () => { answer.tags.forEach(([tag]) => chosen.add(tag)); drawTags(); }, { "data-tool": "choose-listed" }), showFewer()]
    : [];
  // The help keeps its place below the tools: the list does not move under the pointer of who ticks one tag after the other.
  part("tags-tools").replaceChildren(el("span", { class: "quiet" + (tools.length ? " is-covered" : "") }, words("tags.help." + tagList.click)), ...(tools.length ? [el("span", { class: "captions-tools" }, ...tools)] : []));
}

// What looks forgotten is worked out when somebody wants to see it.
async function loadHints() {
  const box = part("hints");
  if (!box.open) return;
  const answer = await ask("hints");
  if (!answer?.hints) return;
  const rows = answer.hints.map((hint) => el("li", {}, el("button", { type: "button", class: "link-button", onclick: () => (hint.operation ? showBatch(hint.operation) : setFilter(hint.filter)) }, hint.text)));
  part("hint-list").replaceChildren(rows.length ? el("ul", {}, ...rows) : el("p", { class: "quiet" }, words("hints.none")));
}

function tagsNode() {
  const choice = (name, value, options, changed) => el("select", { "aria-label": words("tags." + name), onchange: (event) => changed(event.target.value) }, ...options.map((option) => el("option", { value: option, selected: option === value }, words(`tags.${name}.${option}`))));
  const search = later(150, (text) => { tagList.search = text; loadTags(); });
  return el("section", { class: "captions-left", "data-pane": "tags", "aria-label": words("tags.all") },
    el("header", { class: "pane-head" }, el("strong", {}, words("tags.all")), el("small", { "data-part": "tags-num" }), el("span", { class: "spacer" }), button(words("lists.open"), openLists, { "data-tool": "lists", title: words("lists") })),
    el("input", { type: "search", class: "data-search", id: "captions-tag-search", placeholder: words("tags.search"), "aria-label": words("tags.search"), oninput: (event) => search(event.target.value.trim()) }),
    el("div", { class: "captions-tools" },
      choice("sort", tagList.sort, ["count", "name", "shown", "rare"], (value) => { tagList.sort = value; keep("tagsort", value); loadTags(); }),
      choice("click", tagList.click, ["filter", "add"], (value) => { tagList.click = value; keep("tagclick", value); drawTags(); })),
    fewerNode(),
    el("div", { class: "tag-tools", "data-part": "tags-tools" }),
    el("ul", { class: "all-tags", "data-part": "tags", "data-rove": "input, button", "aria-label": words("tags.all"), onkeydown: tagKey }),
    button(words("tags.more"), () => loadTags(tagList.answer.tags.length), { "data-part": "tags-more", hidden: true }),
    el("details", { class: "tag-hints", "data-part": "hints", ontoggle: loadHints }, el("summary", {}, words("hints")), el("div", { "data-part": "hint-list" })),
    likenessNode(),
    el("label", { class: "highlight-box" }, words("highlight"), el("input", { type: "text", class: "data-search", id: "captions-highlight", value: state.highlight, placeholder: words("highlight.hint"), spellcheck: "false", oninput: (event) => { state.highlight = event.target.value; keep("highlight", state.highlight); drawTags(); drawEditor(true); } })));
}
