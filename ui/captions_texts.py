"""Which words the caption page needs, and what its filter can do."""

from __future__ import annotations

# Locale keys behind "captionpage.".
TEXTS = (
    "close", "cancel", "unreachable", "saved.saved", "saved.all", "saved.waiting", "saved.failed",
    "saved.conflict", "no_caption", "grid", "none", "tokens", "tokens.over", "spell", "remove_tag", "edit_tag",
    "tags", "add_tag", "add_to_selected", "caption", "lines", "line", "line.add", "conflict", "conflict.gone",
    "conflict.theirs", "conflict.mine", "conflict.take_theirs", "conflict.take_mine", "mode.tags", "mode.text",
    "large.open", "large.close", "previous", "next", "many", "many.help", "deselect", "tags.all", "tags.num",
    "tags.search", "tags.more", "tags.choose", "tags.without", "tags.merge", "tags.rename", "tags.delete",
    "tags.none", "tags.merge.into", "tags.merge.title", "tags.merge.do", "tags.rename.to", "tags.rename.title",
    "tags.rename.do", "tags.none_yet", "tags.none_found", "none.empty", "filter.clear", "tags.sort",
    "tags.sort.count", "tags.sort.name",
    "tags.sort.shown", "tags.sort.rare", "tags.click", "tags.click.filter", "tags.click.add", "tags.help.filter",
    "tags.help.add", "hints", "highlight", "highlight.hint", "batch.count", "batch.nothing", "batch.operation",
    "batch.scope", "batch.apply", "scope.all", "scope.shown", "scope.selected", "undo", "redo", "undo.force",
    "undo.skip",
    "history.pictures", "history.none", "history.help", "filter", "filter.hint", "filter.help", "filter.help.open",
    "filter.again", "sort", "tile_size", "size.s", "size.m", "size.l", "size.x", "num", "num.shown", "num.selected",
    "num.at", "picked.only", "picked.all", "picked.help", "folder", "folder.hint", "browse", "reopen", "tagging",
    "panes", "pane.grid", "pane.side", "pane.tags", "tab.picture", "tab.batch", "tab.history", "empty", "empty.help",
    "empty.choose", "failed.more", "retry", "saved.pending", "saved.conflicts", "unreachable.short", "renumbered",
    "sort.name", "sort.tags_most", "sort.tags_fewest", "sort.size_most", "sort.size_fewest", "sort.aspect",
    "sort.caption", "tagging.help", "tagging.start", "tagging.show", "hints.none", "tagging.scope", "tagging.title",
    "tagging.preview", "tagging.previewed", "tagging.previewed.none", "tagging.stop",
    "tagging.undo", "tagging.warnings", "tagging.beginning", "opening", "lines.join", "lines.first", "lines.random",
    "lines.part", "untagged.none",
)  # fmt: skip
# Words of the tools for pictures, behind "captionpage.", too.
TOOL_TEXTS = (
    "picture_unreadable", "picture_gone", "tools", "tools.more", "rate", "rating", "reset", "copy", "turn.left",
    "turn.right", "trash", "move", "move.title", "move.help", "move.to", "move.apply", "mark.cropped", "mark.turned",
    "mark.masked", "crop", "crop.box", "crop.whole", "crop.size", "crop.turned", "crop.shape", "crop.free",
    "crop.own", "crop.typed", "crop.swap", "crop.all", "crop.bucket", "crop.bucket.all", "crop.nearest",
    "crop.numbers", "crop.left", "crop.top", "crop.width", "crop.height", "crop.keys", "crop.help", "crop.copy",
    "crop.copy.help", "crop.apply", "mask", "mask.show", "mask.alt", "mask.remove", "mask.canvas", "mask.tools",
    "mask.brush", "mask.eraser", "mask.fill", "mask.rectangle", "mask.pick", "mask.paints", "mask.out", "mask.in",
    "mask.size", "mask.hardness", "mask.tolerance", "mask.colour", "mask.colour.apply", "mask.colour.wrong",
    "mask.whole", "mask.all_in", "mask.all_out", "mask.invert", "mask.import", "mask.import.unreadable",
    "mask.import.shape", "mask.bare", "mask.share", "mask.share.all", "mask.save", "mask.unsaved", "mask.discard",
    "mask.stay", "mask.use", "mask.keys", "mask.help", "background", "background.title", "background.help",
    "background.model", "background.again", "background.start", "background.started",
)  # fmt: skip
# A filter, and the key of what it finds, behind "captionpage.example.".
EXAMPLES = (
    ('tag:"long hair"', "tag"),
    ("tag:*hair", "wild"),
    ("caption:smile", "caption"),
    ("not tag:solo", "not"),
    ("tag:cat or (tag:dog and not tag:wolf)", "brackets"),
    ("name:img_0*", "name"),
    ("path:portraits/", "path"),
    ("tags: < 5", "tags"),
    ("tokens: > 75", "tokens"),
    ("rarest: < 3", "rarest"),
    ("size: < 512", "size"),
    ("aspect: > 16:9", "aspect"),
    ("rating: >= 4", "rating"),
    ("masked", "masked"),
    ("cropped", "cropped"),
    ("untagged", "untagged"),
    ("changed", "changed"),
    ("dup", "dup"),
    ('similar:"cat 1.png"', "similar"),
    ("score: > 0.6", "score"),
)
