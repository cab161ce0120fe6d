"""Captions that are not in UTF-8 are read as what they were written in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.data.encodings import guess
from backend.data.filesystems import File, LocalFiles
from backend.data.index import CaptionFile, Index
from backend.data.measure import read_captions
from backend.data.texts import decode_caption
from backend.editing.files import decode

CAPTIONS = {
    "gb18030": (
        "少女, 长发, 微笑",
        "风景, 山",
        "山水风景",
        "猫, 耳朵",
        "狗",
        "一个女孩站在窗边，微笑着看着镜头",
        "红色背景",
        "1girl, solo, 蓝色眼睛, 白色连衣裙",
        "汉服，古风，扇子，园林",
        "赛博朋克城市夜景",
        "黑丝袜, 高跟鞋, 办公室",
        "油画风格的向日葵",
        "白发、红瞳、双马尾",
        "穿着校服的女孩坐在教室里",
        "杰作, 最佳质量, 高清",
        "风景照片\r\n狗\r\n",
        "水墨画",
        "樱花树下",
        "机器人",
        "一只橘猫躺在沙发上睡觉。",
        "国风插画，凤凰",
        "1boy, 剑客, 斗笠",
        "雪山, 湖泊, 倒影",
        "熊猫",
        "胡同里的老人",
        "zkz风格, 简笔画",
        "人像摄影, 逆光",
        "眼镜",
        "草莓蛋糕",
    ),
    "cp932": (
        "1girl, 長い髪, 笑顔",
        "青い空と海",
        "ねこ",
        "アニメ",
        "少女、制服、青い目",
        "初音ミク, ツインテール",
        "猫耳, メイド服",
        "白いワンピースを着た女の子が立っている",
        "水彩画",
        "桜の木の下",
        "ロボット",
        "夜景, 東京タワー",
        "1girl, solo, 黒髪ロング",
        "着物, 扇子, 和風",
        "教室で本を読む少女",
        "ドラゴン, 炎",
        "銀髪赤眼",
        "イラスト風の背景",
        "海辺を歩く犬",
        "頬を染める",
        "おにぎり",
        "魔法使い, 帽子",
        "制服姿で振り返る",
        "セーラー服",
        "紅葉と寺",
    ),
    "big5": (
        "少女, 長髮, 微笑",
        "一個女孩站在窗邊",
        "貓",
        "紅色背景",
        "台北夜市, 霓虹燈",
        "穿著制服的女孩坐在教室裡",
        "水墨畫風格",
        "黑色頭髮，藍色眼睛",
        "龍與鳳凰",
        "傑作, 最佳品質",
        "一隻狗躺在沙發上睡覺。",
        "廟宇, 燈籠",
        "1girl, 白色連身裙",
    ),
    "cp949": (
        "소녀, 긴 머리",
        "파란 눈, 미소",
        "고양이",
        "1girl, 검은 머리, 교복",
        "창가에 서 있는 소녀",
        "한복을 입은 여자",
        "벚꽃 나무 아래",
        "흰 배경",
        "밤하늘과 별",
        "강아지가 소파에서 자고 있다",
        "단풍, 산, 호수",
        "수채화",
        "로봇, 미래 도시",
        "은발, 붉은 눈",
    ),
    "cp1252": (
        "caf\xe9, b",
        "caf\xe9, cr\xe8me br\xfbl\xe9e",
        "na\xefve",
        "1girl, \u201csmile\u201d, solo",
        "it\u2019s a cat",
        "M\xe4dchen mit langem Haar",
        "gar\xe7on, \xe9cole, for\xeat",
        "ni\xf1a peque\xf1a",
        "a 90\xb0 angle",
        "stra\xdfe, h\xe4user",
        "Pok\xe9mon, Flab\xe9b\xe9",
        "cora\xe7\xe3o, c\xe9u",
        "a cat \u2013 sleeping",
        "sm\xf6rg\xe5sbord",
        "piscine \xe0 c\xf4t\xe9 d\u2019un ch\xe2teau",
        "fa\xe7ade",
    ),
}
CASES = [(encoding, text) for encoding, texts in CAPTIONS.items() for text in texts]


@pytest.mark.parametrize(("encoding", "text"), CASES)
def test_captions_are_read_as_they_were_written(encoding: str, text: str) -> None:
    assert guess(text.encode(encoding)) == (encoding, text)


@pytest.mark.parametrize(("encoding", "text"), CASES)
def test_training_and_the_caption_page_read_the_same(encoding: str, text: str) -> None:
    data = text.encode(encoding)
    trained, shown = decode_caption(data), decode(data)
    assert trained.text == shown.text.strip() and trained.guessed
    assert decode_caption(text.encode()).guessed is False


def test_what_is_utf_8_is_read_as_that() -> None:
    data = "猫".encode("gb18030")  # which is an accented letter in UTF-8
    assert decode_caption(data).text == decode(data).text == "\xe8"


@given(st.binary(max_size=40))
def test_any_bytes_are_read_in_an_encoding_that_gives_them_back(data: bytes) -> None:
    encoding, text = guess(data)
    assert text.encode(encoding) == data


def test_what_was_guessed_is_not_remembered(tmp_path: Path) -> None:
    """An index of an earlier guess must not say what the text is."""
    place = tmp_path / "a.txt"
    place.write_bytes("長い髪, 笑顔".encode("cp932"))
    system, files = LocalFiles(), [File("a.txt", str(place), LocalFiles().stamp(str(place)))]
    with Index(tmp_path / "cache") as index, ThreadPoolExecutor(1) as pool:
        index.remember([((str(place), files[0].stamp), CaptionFile("wrong", guessed=True))])
        assert read_captions(files, system, index, pool) == {str(place): CaptionFile("長い髪, 笑顔", True)}
