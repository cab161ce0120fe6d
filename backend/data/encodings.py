"""Which encoding a caption is in that is not UTF-8: the one in which its text is most likely one that people write.

Every encoding says how likely each of its signs is, in bits; the fewest bits for the same bytes win. Short captions
have too few signs for statistics of languages: what tells them apart is which signs are common ones, and that brackets,
commas and blanks mean themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import NamedTuple

# Of a sign that nobody expects in a caption of an encoding.
STRANGE = 22.0
PLAIN = 5.0
CONTROL = 30.0
# Signs of full width that stand in captions of all East Asian languages.
PUNCTUATION = frozenset("，。、！？：；（）「」『』【】《》“”‘’…·・～〜ー—　")
LATIN_LETTERS = frozenset("àáâãäåæçèéêëìíîïñòóôõöøœùúûüßÀÁÂÄÅÆÇÈÉÊËÍÎÏÑÓÔÖØŒÚÜ")
LATIN_SIGNS = frozenset("“”‘’–—…°·×«»©®™½€")
# The most frequent signs of each language, and those of what captions are about.
SIMPLIFIED = frozenset(
    "的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好"
    "都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长女男孩少娘单双发眼睛色红蓝绿黄白黑"
    "紫粉灰金银棕橙微笑脸嘴唇耳朵猫狗鸟兔狐龙马尾巴翅膀裙衣服装裤鞋袜帽领带结蝴蝶花草树木叶林山水河湖海云雪雨风月星光影夜"
    "晨阳空城市街房屋室内外背景照片画像站立坐躺跑走抱拿张仰视俯侧正近远高清质量最佳杰作细节丽美可爱漂亮古典汉唐宋明士仙侠剑"
    "刀枪甲机械未来科技幻想油水彩素描写实动漫卡通游戏角度短直卷刘海马辫丸披肩胸腰腿脚臂指甲戴穿着眼镜项链戒指玻璃窗户桌椅床书"
)
TRADITIONAL = frozenset(
    "的一是不了在人有我他這中大來上個國到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可她裡後小麼心多天而能好"
    "都然沒日於起還發成事只作當想看文無開手十用主行方又如前所本見經頭面公同三已老從動兩長女男孩少娘單雙髮眼睛色紅藍綠黃白黑"
    "紫粉灰金銀棕橙微笑臉嘴唇耳朵貓狗鳥兔狐龍馬尾巴翅膀裙衣服裝褲鞋襪帽領帶結蝴蝶花草樹木葉林山水河湖海雲雪雨風月星光影夜"
    "晨陽空城市街房屋室內外背景照片畫像站立坐躺跑走抱拿張仰視俯側正近遠高清質量最佳傑作細節麗美可愛漂亮古典短直捲瀏海馬辮肩胸腰"
)
JAPANESE = frozenset(
    "日一国人年大十二本中長出三時行見月後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西電校語"
    "土木聞食車何南万毎白天母火右読友左休父雨少髪笑顔眼目青赤黒黄緑紫桃灰銀茶色空海川花木森草葉風景夜朝夕街室内背景制服着物"
    "帽耳猫犬鳥兎狐竜尾翼手足腕指口唇胸腰肩膝靴下短単独全身上半立座寝走持見正面横向顔近遠光影星雪夏冬春秋桜窓部屋机椅子美少絵"
    "画写真像度解像最高品質傑作剣魔法機械姿勢視線可愛涙頬染開閉巨乳服装飾眼鏡傘本的自分動物同事者思新的心文明私僕君"
)
KOREAN = frozenset(
    "이가는을를의에도로하고한다은지기나사서자그리어수인아라대해시정보일부여전제들만면상원주장조구공선동모비세소과안우무스유성"
    "신경트미게연오교국마요내드관중화생방건거야개방관분양용음입재적진천체초치터판표품하학행현형호회후녀년남긴짧은머리눈색빨간"
    "파란노란검은흰하얀분홍금발갈보라초록미소웃얼굴입술귀고양강아지새토끼여우용꼬리날개옷치마바지신발모자리본꽃나무풀숲산물강"
    "바다구름눈비바람달별빛그림자밤아침하늘도시거리집방안밖배경사진앉서누워달려들고안경목걸반창문책상의자침소년교복단풍"
)


class Encoding(NamedTuple):
    """An encoding, how unlikely it is by itself, and the bits of a sign in it."""

    name: str
    bits: float
    of: Callable[[str], float]


def guess(data: bytes) -> tuple[str, str]:
    """Return encoding and text of bytes that are neither UTF-8 nor marked: one that gives the same bytes back."""
    found: list[tuple[float, str, str]] = []
    for encoding in ENCODINGS:
        with suppress(UnicodeError):
            text = data.decode(encoding.name)
            if text.encode(encoding.name) == data:
                found.append((encoding.bits + sum(map(encoding.of, text)), encoding.name, text))
    if not found:
        return "latin-1", data.decode("latin-1")
    _, name, text = min(found)
    return name, text


def _plain(sign: str) -> float:
    """Return the bits of a sign that all encodings have as the same byte."""
    return PLAIN if sign.isprintable() or sign in "\r\n\t" else CONTROL


def _simplified(sign: str) -> float:
    if sign in SIMPLIFIED:
        return 9.0
    row, _ = _place(sign, "gb2312")
    # Its common ideographs stand in rows 16 to 55, by their sound; the others in rows 56 to 87.
    known = 13.0 if 16 <= row <= 55 else 17.0 if 56 <= row <= 87 else 16.0 if 3 <= row <= 5 else STRANGE
    return 19.0 if known == STRANGE and "\u4e00" <= sign <= "\u9fff" else known


def _traditional(sign: str) -> float:
    if sign in TRADITIONAL:
        return 9.0
    lead = sign.encode("big5")[0]
    # Of common ideographs the first byte is A4 to C6, of others C9 to F9.
    return 13.7 if 0xA4 <= lead <= 0xC6 else 18.0 if 0xC9 <= lead <= 0xF9 else STRANGE


def _japanese(sign: str) -> float:
    if "\u3041" <= sign <= "\u3096":
        return 8.0
    if "\u30a1" <= sign <= "\u30f6":
        return 8.5
    if "\uff61" <= sign <= "\uff9f":  # katakana of half width, one byte each
        return 12.0
    if sign in JAPANESE:
        return 9.5
    row, _ = _place(sign, "euc_jp")
    return 14.0 if 16 <= row <= 47 else 18.0 if 48 <= row <= 84 else 16.0 if row in (3, 6) else STRANGE


def _korean(sign: str) -> float:
    if sign in KOREAN:
        return 8.5
    row, _ = _place(sign, "euc_kr")
    return 14.5 if 16 <= row <= 40 else 18.0 if 42 <= row <= 93 else STRANGE


def _western(sign: str) -> float:
    return 6.5 if sign in LATIN_LETTERS else 9.0 if sign in LATIN_SIGNS else 15.0


def _place(sign: str, encoding: str) -> tuple[int, int]:
    """Return row and column of a sign in a national set of 94 rows; zeros where it is in none."""
    with suppress(UnicodeError):
        data = sign.encode(encoding)
        if len(data) == 2:
            return data[0] - 0xA0, data[1] - 0xA0
    return 0, 0


def _east_asian(bits: Callable[[str], float]) -> Callable[[str], float]:
    def of(sign: str) -> float:
        return _plain(sign) if sign.isascii() else 9.0 if sign in PUNCTUATION else bits(sign)

    return cache(of)


ENCODINGS = (
    Encoding("gb18030", 0.0, _east_asian(_simplified)),
    Encoding("cp932", 2.0, _east_asian(_japanese)),
    Encoding("big5", 3.0, _east_asian(_traditional)),
    Encoding("cp949", 5.0, _east_asian(_korean)),
    Encoding("cp1252", 2.0, cache(lambda sign: _plain(sign) if sign.isascii() else _western(sign))),
)
