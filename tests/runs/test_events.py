import json
import math
import threading
import time

from backend.runs.events import EventReader, EventWriter, Heartbeat


def test_what_is_written_is_read_once_and_in_order(tmp_path) -> None:
    writer, reader = EventWriter(tmp_path / "events.jsonl"), EventReader(tmp_path / "events.jsonl")
    writer.emit("phase", phase="loading")
    writer.emit("sample", prompt="一只猫 🐈\nsecond line", path="a b.png")
    first, second = reader.read()
    assert (first["seq"], first["kind"], first["phase"]) == (1, "phase", "loading")
    assert second["prompt"] == "一只猫 🐈\nsecond line" and abs(second["t"] - time.time()) < 60
    assert reader.read() == []
    writer.emit("phase", phase="training")
    assert [event["seq"] for event in reader.read()] == [3]


def test_a_log_that_is_not_there_yet_is_empty(tmp_path) -> None:
    reader = EventReader(tmp_path / "events.jsonl")
    assert reader.read() == []
    EventWriter(tmp_path / "events.jsonl").emit("phase", phase="loading")
    assert len(reader.read()) == 1


def test_half_a_line_is_left_until_it_is_whole(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    line = json.dumps({"seq": 1, "t": 1.0, "kind": "phase", "phase": "图"}, ensure_ascii=False).encode() + b"\n"
    reader = EventReader(path)
    for cut in range(1, len(line)):
        path.write_bytes(line[:cut])
        assert reader.read() == [] and reader.offset == 0
    path.write_bytes(line)
    assert len(reader.read()) == 1


def test_lines_that_are_no_events_are_counted_and_passed_over(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    good = b'{"seq": 1, "t": 2.0, "kind": "phase"}\n'
    path.write_bytes(
        b"\x00\x00\x00\n" + good + b'[1]\n{"seq": 1}\n{"kind": "step"}\n\xff\xfe\n\n' + b"[" * 99999 + b"\n"
    )
    reader = EventReader(path)
    assert [event["kind"] for event in reader.read()] == ["phase"]
    assert reader.num_bad_lines == 6


def test_a_log_that_was_replaced_by_a_shorter_one_is_read_afresh(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    writer, reader = EventWriter(path), EventReader(path)
    for _ in range(10):
        writer.emit("step", step=1)
    assert len(reader.read()) == 10
    path.write_bytes(b'{"seq": 1, "t": 2.0, "kind": "start"}\n')
    assert [event["kind"] for event in reader.read()] == ["start"]


def test_only_the_kinds_asked_for_are_returned(tmp_path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    writer.emit("start", pid=1)
    writer.emit("warning", code="end")
    writer.emit("end", status="finished")
    reader = EventReader(tmp_path / "events.jsonl", kinds=frozenset({"start", "end"}))
    assert [event["kind"] for event in reader.read()] == ["start", "end"]


def test_the_numbers_go_on_after_a_kill_in_the_middle_of_a_line(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    EventWriter(path).emit("start", pid=1)
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "t": 3.0, "ki')
    EventWriter(path).emit("start", pid=2)
    reader = EventReader(path)
    assert [(event["seq"], event["pid"]) for event in reader.read()] == [(1, 1), (3, 2)]
    assert reader.num_bad_lines == 1


def test_threads_never_mix_their_lines(tmp_path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    threads = [
        threading.Thread(target=lambda: [writer.emit("step", text="x" * 3000) for _ in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event["seq"] for event in EventReader(tmp_path / "events.jsonl").read()] == list(range(1, 401))


def test_numbers_that_json_does_not_have_become_null(tmp_path) -> None:
    EventWriter(tmp_path / "events.jsonl").emit("step", loss=math.nan, lrs={"unet": math.inf}, path=tmp_path)
    line = (tmp_path / "events.jsonl").read_text(encoding="utf-8")
    event = json.loads(line, parse_constant=lambda name: name)
    assert event["loss"] is None and event["lrs"] == {"unet": None} and event["path"] == str(tmp_path)


def test_the_heart_beats_with_the_phase_and_how_long_nothing_moved(tmp_path) -> None:
    writer, reader = EventWriter(tmp_path / "events.jsonl"), EventReader(tmp_path / "events.jsonl")
    heartbeat = Heartbeat(writer, seconds=0.05)
    heartbeat.start()
    heartbeat.moved(phase="caching", done=3, total=7)
    beats = []
    # How long nothing moved is told in tenths of a second.
    while len(beats) < 4 or not (beats[-1]["done"] and beats[-1]["idle_seconds"]):
        beats += reader.read()
        time.sleep(0.01)
    heartbeat.stop()
    assert {event["kind"] for event in beats} == {"heartbeat"}
    assert (beats[-1]["phase"], beats[-1]["done"], beats[-1]["total"]) == ("caching", 3, 7)
    num_bytes = (tmp_path / "events.jsonl").stat().st_size
    time.sleep(0.15)
    assert (tmp_path / "events.jsonl").stat().st_size == num_bytes
