"""Names of languages, in English, Chinese and themselves, and which of them a request names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

# By code: the name in English, in Chinese (without 文 or 语), and names in the language itself or
# in others that prompts use.
NAMES: Mapping[str, tuple[str, ...]] = {
    "af": ("Afrikaans", "南非荷兰"),
    "am": ("Amharic", "阿姆哈拉", "አማርኛ"),
    "ar": ("Arabic", "阿拉伯", "العربية", "arabe", "Arabisch", "árabe"),
    "az": ("Azerbaijani", "阿塞拜疆", "Azərbaycan"),
    "be": ("Belarusian", "白俄罗斯", "беларуск"),
    "bg": ("Bulgarian", "保加利亚", "български", "Bulgarisch"),
    "bn": ("Bengali", "孟加拉", "বাংলা", "Bangla"),
    "bs": ("Bosnian", "波斯尼亚", "bosanski"),
    "ca": ("Catalan", "加泰罗尼亚", "català"),
    "cs": ("Czech", "捷克", "česky", "češtin", "čeština", "Tschechisch"),
    "cy": ("Welsh", "威尔士", "Cymraeg"),
    "da": ("Danish", "丹麦", "dansk", "Dänisch"),
    "de": ("German", "德", "Deutsch", "allemand", "alemán", "tedesco", "niemieck", "alemão",
           "almanca",
           "немецк", "ドイツ", "독일"),
    "el": ("Greek", "希腊", "ελληνικ", "Griechisch"),
    "en": ("English", "英", "Englisch", "anglais", "inglés", "inglese", "angielsk", "inglês",
           "Engels",
           "İngilizce", "ingilizce", "tiếng Anh", "bahasa Inggris", "engleză", "английск", "영어",
           "engelsk", "engelska", "anglicky", "angličtin", "angol"),
    "es": ("Spanish", "西班牙", "español", "castellano", "espagnol", "Spanisch", "spagnolo",
           "hiszpańsk", "espanhol", "испанск", "スペイン", "스페인"),
    "et": ("Estonian", "爱沙尼亚", "eesti"),
    "eu": ("Basque", "巴斯克", "euskara"),
    "fa": ("Persian", "波斯", "فارسی", "Farsi"),
    "fi": ("Finnish", "芬兰", "suomeksi", "suomi", "Finnisch"),
    "fr": ("French", "法", "français", "Französisch", "francés", "francese", "francusk", "francês",
           "Fransızca", "tiếng Pháp", "французск", "フランス", "프랑스"),
    "ga": ("Irish", "爱尔兰", "Gaeilge"),
    "he": ("Hebrew", "希伯来", "עברית"),
    "hi": ("Hindi", "印地", "हिन्दी", "हिंदी"),
    "hr": ("Croatian", "克罗地亚", "hrvatski", "Kroatisch"),
    "hu": ("Hungarian", "匈牙利", "magyar", "Ungarisch"),
    "hy": ("Armenian", "亚美尼亚", "հայերեն"),
    "id": ("Indonesian", "印尼", "印度尼西亚", "bahasa Indonesia"),
    "is": ("Icelandic", "冰岛", "íslensk"),
    "it": ("Italian", "意大利", "italiano", "Italienisch", "italien", "włosk", "итальянск",
           "イタリア"),
    "ja": ("Japanese", "日", "日本", "にほんご", "Japanisch", "japonais", "japonés", "японск",
           "일본"),
    "ka": ("Georgian", "格鲁吉亚", "ქართულ"),
    "kk": ("Kazakh", "哈萨克", "қазақ"),
    "km": ("Khmer", "高棉", "ភាសាខ្មែរ"),
    "ko": ("Korean", "韩", "韓", "朝鲜", "한국어", "Koreanisch", "coréen", "корейск"),
    "lo": ("Lao", "老挝"),
    "lt": ("Lithuanian", "立陶宛", "lietuvi"),
    "lv": ("Latvian", "拉脱维亚", "latvie"),
    "mk": ("Macedonian", "马其顿", "македонск"),
    "mn": ("Mongolian", "蒙古", "монгол"),
    "ms": ("Malay", "马来", "bahasa Melayu"),
    "my": ("Burmese", "缅甸"),
    "ne": ("Nepali", "尼泊尔", "नेपाली"),
    "nl": ("Dutch", "荷兰", "Nederlands", "Niederländisch", "Holländisch"),
    "no": ("Norwegian", "挪威", "norsk", "Norwegisch"),
    "pa": ("Punjabi", "旁遮普", "ਪੰਜਾਬੀ"),
    "pl": ("Polish", "波兰", "polsk", "polski", "po polsku", "Polnisch", "polonais", "polaco"),
    "ps": ("Pashto", "普什图", "پښتو"),
    "pt": ("Portuguese", "葡萄牙", "português", "Portugiesisch", "portugais", "portugués"),
    "ro": ("Romanian", "罗马尼亚", "română", "românește", "Rumänisch"),
    "ru": ("Russian", "俄", "俄罗斯", "русск", "Russisch", "russe", "ruso", "rosyjsk", "ロシア"),
    "si": ("Sinhala", "僧伽罗"),
    "sk": ("Slovak", "斯洛伐克", "slovensk"),
    "sl": ("Slovenian", "斯洛文尼亚", "slovenšč", "Slovene"),
    "sq": ("Albanian", "阿尔巴尼亚", "shqip"),
    "sr": ("Serbian", "塞尔维亚", "српск", "srpski"),
    "sv": ("Swedish", "瑞典", "svenska", "Schwedisch"),
    "sw": ("Swahili", "斯瓦希里", "Kiswahili"),
    "ta": ("Tamil", "泰米尔", "தமிழ்"),
    "te": ("Telugu", "泰卢固", "తెలుగు"),
    "th": ("Thai", "泰", "ไทย"),
    "tl": ("Tagalog", "他加禄", "菲律宾", "Filipino"),
    "tr": ("Turkish", "土耳其", "Türkçe", "Türkisch", "turc", "turco", "турецк"),
    "uk": ("Ukrainian", "乌克兰", "українськ", "Ukrainisch"),
    "ur": ("Urdu", "乌尔都", "اردو"),
    "uz": ("Uzbek", "乌兹别克", "oʻzbek", "o'zbek"),
    "vi": ("Vietnamese", "越南", "越", "tiếng Việt", "Vietnamesisch"),
    "zh": ("Chinese", "中", "汉", "漢", "普通话", "國語", "国语", "Mandarin", "Cantonese", "中国",
           "Chinesisch",
           "chinois", "chino", "cinese", "chińsk", "Çince", "tiếng Trung", "китайск", "중국"),
}  # fmt: skip
# Close enough that a request for one may be met in the other, and that short texts do not tell.
NEIGHBOURS: tuple[frozenset[str], ...] = (
    frozenset(("bs", "hr", "sr")), frozenset(("id", "ms")), frozenset(("da", "no")),
    frozenset(("en", "pcm")),
)  # fmt: skip
# Codes that mean another one.
CODES: Mapping[str, str] = {
    "chinese": "zh", "cmn": "zh", "yue": "zh", "english": "en", "fil": "tl", "in": "id", "iw": "he",
    "nb": "no", "nn": "no",
}  # fmt: skip
_HAN = re.compile("[一-鿿]")
# Words and subjects that are about languages: a prompt with one may be answered in any of them.
_ABOUT = re.compile(
    r"\btranslat|\btranscri|\bpronounc|\blanguages?\b|\bbilingual|\bmultilingual|\bproverbs?\b"
    r"|\bidioms?\b|\bhow do (?:you|i|we|they) (?:say|write|spell|greet)\b|\bhow to say\b"
    r"|\bwhat does\b.{1,60}\bmean\b|\bmeaning of\b|\bforeign\b|\bvocabulary\b|\bconjugat|\bdeclen"
    r"|\blorem ipsum\b"
    r"|翻译|翻譯|译成|譯成|怎么说|怎麼說|怎么讲|语言|語言|外语|双语|外文|什么意思|成语|谚语"
    r"|übersetz|sprache|tradu[ciz]|traduire|idioma|przet[łl]umacz|t[łl]umacz|j[ęe]zyk|çevir|dilinde"
    r"|\bdịch\b|terjemah|перевед|перевод|язык|翻訳|訳して|言語|번역|언어|vertaa?l|översätt|přelož",
    re.IGNORECASE | re.DOTALL,
)


def name_of(code: str) -> str:
    """The English name of a language; the code itself where it is not in the table."""
    return NAMES[code][0] if code in NAMES else code


def plain_code(language: str) -> str:
    """The two-letter code of a language tag, such as "zh" for "zh-CN", "zh_TW" or "Chinese"."""
    code = language.lower().replace("_", "-").split("-")[0]
    return CODES.get(code, code)


def with_neighbours(codes: frozenset[str]) -> frozenset[str]:
    """The codes, and those of languages too close to tell from them."""
    return codes.union(*(group for group in NEIGHBOURS if group & codes))


def named_in(prompt: str) -> frozenset[str]:
    """The languages that a prompt names ("in Polish", "auf Deutsch", 用英文)."""
    return frozenset(code for code, pattern in _patterns().items() if pattern.search(prompt))


def is_about_languages(prompt: str) -> bool:
    """Whether a prompt asks for a translation, or about words of languages."""
    return _ABOUT.search(prompt) is not None


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    found = {}
    for code, names in NAMES.items():
        chinese = [name for name in names if _HAN.match(name)]
        others = [re.escape(name) for name in names if name not in chinese]
        parts = [rf"\b(?:{'|'.join(others)})"] if others else []
        if chinese:
            # The traditional, Japanese and Korean ways to write "language" are accepted as well.
            parts.append(rf"(?:{'|'.join(chinese)})(?:国|國)?(?:文|语|語|话|話)")
        found[code] = re.compile("|".join(parts), re.IGNORECASE)
    return found
