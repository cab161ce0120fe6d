from ui.log import MAX_HITS, MAX_LINES, search, tail


def test_the_tail_is_the_last_lines_and_shows_what_a_console_would(tmp_path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes("开始\n\x1b[31mred\x1b[0m\n  1%|\r 50%|\r100%|\n".encode() + b"\xff broken bytes\n")
    lines = tail(path)
    assert [line.text for line in lines] == ["开始", "red", "100%|", "\ufffd broken bytes"]
    assert [line.number for line in lines] == [1, 2, 3, 4]


def test_a_huge_log_is_not_read_whole(tmp_path) -> None:
    path = tmp_path / "console.log"
    path.write_text("".join(f"line {number}\n" for number in range(200_000)), encoding="utf-8")
    lines = tail(path)
    assert len(lines) <= MAX_LINES and lines[-1].text == "line 199999" and lines[0].text.startswith("line ")


def test_search_ignores_case_numbers_lines_and_keeps_the_last_hits(tmp_path) -> None:
    path = tmp_path / "console.log"
    path.write_text("Loss\nother\nLOSS\n" + "loss\n" * 500, encoding="utf-8")
    hits, more = search(path, "lOsS")
    assert more and len(hits) == MAX_HITS and hits[-1].number == 503
    assert [hit.number for hit in search(path, "other")[0]] == [2]


def test_a_log_that_is_not_there_yet_is_empty(tmp_path) -> None:
    assert tail(tmp_path / "none") == [] and search(tmp_path / "none", "x") == ([], False)


def test_levels(tmp_path) -> None:
    path = tmp_path / "console.log"
    path.write_text("RuntimeError: CUDA out of memory\nUserWarning: old\nstep 3\nerrorless\n", encoding="utf-8")
    assert [line.level for line in tail(path)] == ["error", "warning", "info", "info"]
