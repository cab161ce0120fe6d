// The parts of the Data page, each made from what the server told. Needs el() of fields.js and plots.js.
// props.value.texts: words, those of this page behind "data.". `page` (in data.js) has what the buttons do.
const words = (name, gaps = {}) => filled(props.value.texts["data." + name], gaps);
const many = (number) => Number(number).toLocaleString();
const button = (label, onclick, attributes = {}) => el("button", { type: "button", class: "small-button", onclick, ...attributes }, label);
const iconButton = (icon, label, onclick, attributes = {}) => button(icon, onclick, { title: label, "aria-label": label, ...attributes });
const thumbnail = (record, name = "", size = 112) => el("img", { src: page.address(record, size), alt: name, title: name, loading: "lazy" });
const levelBadge = (level) => el("span", { class: "level is-" + level }, words("level." + level));

const copyIcon = () => svg("svg", { viewBox: "0 0 16 16", class: "tool-icon", "aria-hidden": "true" }, svg("rect", { x: 2, y: 5, width: 8, height: 9, rx: 1.5 }), svg("path", { d: "M6 5V2.8C6 2.3 6.4 2 6.8 2h6.4c.4 0 .8.3.8.8v7.4c0 .4-.4.8-.8.8H10" }));

function cardNode(card, isSelected) {
  const index = Number(card.key.split(".")[0]);
  const numbers = [card.images === null ? null : `${many(card.images)} ${words("images")}`, card.samples === null ? null : `${many(card.samples)} ${words("samples")}`, card.share === null ? null : `${card.share}\u00a0%`];
  const tools = el("div", { class: "card-tools" },
    button(card.enabled ? words("in_use") : words("off"), () => page.setRow(index, { enabled: !card.enabled }), { "aria-pressed": String(card.enabled), "data-tool": "enabled" }),
    iconButton("\u2191", words("up"), () => page.change("move", { index, by: -1 }), { "data-tool": "up" }),
    iconButton("\u2193", words("down"), () => page.change("move", { index, by: 1 }), { "data-tool": "down" }),
    iconButton(copyIcon(), words("duplicate"), () => page.change("add", { copy: index }), { "data-tool": "duplicate" }),
    iconButton("\u00d7", words("remove"), () => page.change("remove", { index }), { "data-tool": "remove" }));
  return el("li", { class: `data-card ${isSelected ? "is-selected" : ""} ${card.enabled ? "" : "is-off"} ${card.is_part ? "is-part" : ""}`, "data-card": card.key },
    el("button", { type: "button", class: "card-open", "aria-current": isSelected ? "true" : null, onclick: () => page.select(card.key) },
      el("span", { class: "card-head" }, el("strong", { title: card.path }, card.title), card.level ? levelBadge(card.level) : null),
      el("small", {}, [card.role, card.kind].join(" \u00b7 ")),
      card.pictures.length ? el("span", { class: "card-strip" }, ...card.pictures.map((record) => thumbnail(record))) : null,
      el("small", {}, numbers.filter(Boolean).join(" \u00b7 "))),
    isSelected && !card.is_part ? tools : null);
}

function allCard(snapshot, isSelected) {
  return el("li", { class: "data-card " + (isSelected ? "is-selected" : ""), "data-card": "all" },
    el("button", { type: "button", class: "card-open", "aria-current": isSelected ? "true" : null, onclick: () => page.select("all") },
      el("span", { class: "card-head" }, el("strong", {}, words("all")), snapshot.level ? levelBadge(snapshot.level) : null)));
}

function findingNode(finding) {
  const names = el("div", { class: "finding-names", hidden: true });
  const toggle = finding.num ? button(words("names", { num: many(finding.num) }), () => page.showNames(finding, names, 0), { "aria-expanded": "false" }) : null;
  const go = !finding.fixes.length && finding.path && !finding.path.endsWith("datasets") ? button(words("go"), () => page.goToField(finding.path)) : null;
  return el("li", { class: "finding is-" + finding.level, "data-code": finding.code },
    el("p", {}, levelBadge(finding.level), " ", finding.text),
    finding.pictures.length ? el("div", { class: "picture-row" }, ...finding.pictures.map((record) => page.pictureButton(record))) : null,
    el("div", { class: "finding-tools" }, ...finding.fixes.map((fix) => button(fix.text, () => page.change("fix", { finding: finding.number, code: finding.code, fix: fix.number }), { class: "small-button is-fix" })), go, toggle),
    names);
}

function namesNode(answer, finding, host) {
  const rows = answer.names.map(({ name, record }) => el("li", {}, record === null ? name : el("button", { type: "button", class: "link-button", onclick: () => page.preview(record) }, name)));
  return [el("ol", { start: answer.offset + 1 }, ...rows), pager(answer, answer.names.length, (offset) => page.showNames(finding, host, offset, true), 20)];
}

function pager(answer, length, go, step) {
  if (answer.num <= length) return null;
  return el("div", { class: "pager" },
    button(words("previous"), () => go(Math.max(0, answer.offset - step)), { disabled: answer.offset === 0 }),
    el("span", {}, `${many(answer.offset + 1)} \u2013 ${many(answer.offset + length)} / ${many(answer.num)}`),
    button(words("next"), () => go(answer.offset + length), { disabled: answer.offset + length >= answer.num }));
}

function findingsTab(view) {
  const looked = view.num_images && view.num_looked >= view.num_images;
  const hint = looked ? el("p", { class: "quiet" }, words("looked")) : el("p", { class: "quiet" }, words("look_closely.help"));
  const list = view.findings.length ? el("ul", { class: "findings" }, ...view.findings.map(findingNode)) : el("p", { class: "data-good" }, words("no_findings"));
  return [list, hint];
}

function bucketRow(bucket, most) {
  const examples = el("div", { class: "picture-row", hidden: true });
  const toggle = () => {
    examples.hidden = !examples.hidden;
    if (!examples.childElementCount) examples.append(...bucket.pictures.map((record) => page.pictureButton(record)));
  };
  const notes = [bucket.repeated && words("bucket.repeated", { num: many(bucket.repeated) }), bucket.dropped && words("bucket.dropped", { num: many(bucket.dropped) })].filter(Boolean);
  return el("li", {},
    el("button", { type: "button", class: "bucket-row", onclick: toggle },
      shape(bucket.width, bucket.height), el("b", {}, `${bucket.width} x ${bucket.height}`),
      el("span", { class: "bucket-bar" }, el("i", { style: `width:${Math.max(1, (100 * bucket.images) / most)}%` })),
      el("span", {}, `${many(bucket.images)} ${words("images")} \u00b7 ${many(bucket.samples)} ${words("samples")} \u00b7 ${many(bucket.batches)} ${words("bucket.batches")}${notes.length ? " \u00b7 " + notes.join(", ") : ""}`)),
    examples);
}

const SHOWN_BUCKETS = 40;
function bucketList(buckets) {
  const sorted = [...buckets].sort((a, b) => b.images - a.images);
  const most = Math.max(1, ...buckets.map((bucket) => bucket.images));
  const list = el("ul", { class: "bucket-list" }, ...sorted.slice(0, SHOWN_BUCKETS).map((bucket) => bucketRow(bucket, most)));
  const rest = sorted.slice(SHOWN_BUCKETS);
  if (rest.length) list.append(el("li", {}, button(`${words("more")} (${many(rest.length)})`, (event) => event.target.closest("li").replaceWith(...rest.map((bucket) => bucketRow(bucket, most))))));
  return list;
}

const panel = (title, ...children) => el("section", { class: "data-panel" }, el("h4", {}, title), ...children);

function numbersTab(numbers) {
  const gallery = el("div", { class: "gallery-host" });
  const choose = (bar) => page.gallery(gallery, { of: bar.of, low: bar.low, high: bar.high }, rangeText(bar));
  const crops = numbers.crops.map((crop) => el("li", {}, el("button", { type: "button", class: "crop-card", onclick: () => page.preview(crop.record), title: crop.name },
    cropPicture(crop, page.address(crop.record, 320)), el("b", {}, words("crop", { percent: crop.percent })), el("small", {}, `${crop.size} \u2192 ${crop.bucket}`), el("small", { class: "crop-name" }, crop.name))));
  return [
    el("div", { class: "plot-pair" }, panel(words("megapixels"), barPlot(numbers.megapixels, rangeText, words("megapixels"), choose)), panel(words("aspects"), barPlot(numbers.aspects, rangeText, words("aspects"), choose))),
    gallery,
    panel(words("buckets"), bucketList(numbers.buckets)),
    panel(words("crops"), el("p", { class: "quiet" }, words(crops.length ? "crops.help" : "crops.none")), crops.length ? el("ul", { class: "crop-list" }, ...crops) : null),
  ];
}

function tagList(tags, gallery) {
  const most = tags[0]?.[1] ?? 1;
  const list = el("ul", { class: "tag-list" });
  const fill = (wanted) => list.replaceChildren(...tags.filter(([tag]) => tag.toLowerCase().includes(wanted)).map(([tag, count]) =>
    el("li", {}, el("button", { type: "button", style: `--part:${(100 * count) / most}%`, onclick: () => page.gallery(gallery, { tag }, tag) }, el("span", {}, tag), el("b", {}, many(count))))));
  fill("");
  const search = el("input", { type: "search", class: "data-search", placeholder: words("tags.search"), "aria-label": words("tags.search"), oninput: (event) => fill(event.target.value.trim().toLowerCase()) });
  return [search, list];
}

function captionsTab(numbers) {
  const c = numbers.captions;
  const counts = [["missing", c.num_missing], ["empty", c.num_empty], ["long", c.num_long], ["duplicated", c.num_duplicated], ["without_trigger", c.num_without_trigger]];
  const tagged = el("div", { class: "gallery-host" });
  const all = el("div", { class: "gallery-host" });
  page.gallery(all, {}, "", true);
  return [
    panel(words("tab.captions"),
      el("dl", { class: "data-facts" }, ...counts.map(([name, value]) => el("div", { class: value ? "" : "is-zero" }, el("dt", {}, words("captions." + name)), el("dd", {}, many(value))))),
      el("p", { class: c.most_tokens > c.limit ? "is-over" : "quiet" }, words("captions.tokens", { mean: c.mean_tokens, most: many(c.most_tokens), limit: many(c.limit) }))),
    panel(words("preview"), el("p", { class: "quiet" }, words("preview.help")), all),
    numbers.tags.length ? panel(words("tags"), tagged, ...tagList(numbers.tags, tagged)) : null,
  ];
}

// A page of pictures; with a search box where all are meant.
function galleryNode(answer, title, go) {
  const tiles = answer.pictures.map(({ record, name, text }) => el("li", {}, page.pictureButton(record, `${name}\n${text}`), el("small", {}, name)));
  return [
    title ? el("p", {}, el("b", {}, title), ` \u00b7 ${many(answer.num)} ${words("images")}`) : null,
    tiles.length ? el("ul", { class: "gallery" }, ...tiles) : el("p", { class: "quiet" }, words("pictures.none")),
    pager(answer, tiles.length, go, 24),
  ];
}

function previewNode(answer, record, close) {
  const draw = ({ text, tokens }) => el("li", {}, el("span", {}, text || "\u2014"), el("b", { class: tokens > answer.limit ? "is-over" : "" }, words("preview.tokens", { num: tokens, limit: answer.limit })));
  const head = el("header", {}, el("strong", {}, answer.name || ""), el("small", {}, answer.size || ""), el("span", { class: "spacer" }), button(words("exclude"), () => { close(); page.change("exclude", { record }); }), button(words("close"), close, { autofocus: true }));
  if (answer.error) return [head, el("p", { class: "field-error" }, answer.error)];
  const written = answer.written.length ? answer.written : ["\u2014"];
  return [head, el("div", { class: "preview-body" },
    thumbnail(record, answer.name, 768),
    el("div", {},
      el("h4", {}, words("preview.as_written")), ...written.map((text) => el("p", { class: "preview-text" }, text)),
      ...(answer.description ? [el("h4", {}, words("preview.description")), el("p", { class: "preview-text" }, answer.description)] : []),
      el("h4", {}, words("preview")), el("ol", { class: "draws" }, ...answer.draws.map(draw))))];
}

function codeNode(code) {
  if (!code) return null;
  const state = code.error ? el("p", { class: "field-error" }, code.error)
    : code.trusted ? el("p", { class: "data-good" }, words("code.trusted"))
    : el("div", {}, el("p", {}, words("code.help")), button(words("code.trust"), () => page.change("trust", { path: code.path, sha256: code.sha256 }), { class: "plain-button", "data-tool": "trust" }));
  return el("section", { class: "data-code " + (code.trusted ? "" : "is-untrusted") }, el("h4", {}, words("code")), el("code", {}, code.path), code.sha256 ? el("small", {}, `${words("code.hash")} `, el("code", {}, code.sha256)) : null, state);
}
