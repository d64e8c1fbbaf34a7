"""Odd forms of replies that a prompt asks for, by the words that such prompts use.

A word too many here only means that an odd reply is let through, so the words are wide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Form = Literal[
    "dialogue", "drawing", "emoji", "encoding", "list", "marks", "repetition", "template", "verse"
]  # fmt: skip

_WORDS: Mapping[Form, str] = {
    "repetition": r"\brepeat|\brepetit|\b\d+ times\b"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|forty|fifty|sixty"
    r"|hundred|thousand|several|many) times\b"
    r"|\bover and over\b|\bagain and again\b|\bin a row\b|\bloop\b|\bin a loop\b|\bduplicat"
    r"|\bcopies of\b|\becho\b|\bkeep (?:saying|writing|typing)\b|\bstutter|\bspam\b"
    r"|\bnothing but\b|重复|重覆|反复|[\d一二三四五六七八九十百千两]\s*(?:遍|次|个|行)|循环"
    r"|複数回|回(?:書|繰)|繰り返|반복|\d번|wiederhol"
    r"|(?:\d|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|zwölf|zwanzig|hundert)[- ]?mal\b"
    r"|répét|répèt|\w fois\b|repite|repet"
    r"|\w (?:veces|vezes|volte|razy|keer|gånger|ganger|gange|kertaa)\b|ripet|powt[óo]rz"
    r"|повтор|\w раз\b|tekrarla|\w (?:kez|kere|defa)\b|ulangi|\w kali\b|lặp lại|\w lần",
    "verse": r"\bpoem|\bpoet|\bsong|\blyric|\bchorus|\brefrain|\bverse|\brhym|\bhaiku|\bmantra"
    r"|\bchant|\blitan|\bsing\b|\bsinging|\bsings\b|\blullab|\bballad|\brap\b|\bcarol|\banthem"
    r"|\bhymn|\bvillanelle|\bprayer|\bpsalm|\banaphora|\bcheer\b|\bjingle|\brondel|\bpantoum"
    r"|\bspell\b|\bincantation|诗|歌|副歌|童谣|口号|绕口令|经文|咒|词牌|宋词|詩|俳句|노래|가사"
    r"|시를|gedicht|lied\b|liedtext|strophe|poème|chanson|couplet|refrain|poema|canción"
    r"|canci[oó]n|estribillo|canzone|poesia|filastrocc|wiersz|piosenk|refren|стих|песн|припев"
    r"|şiir|şarkı|puisi|lagu|bài thơ|bài hát",
    "drawing": r"\bdraw|\bascii|\bart\b|\bpattern|\bgrid|\bmatri|\barray|\bvector|\btensor"
    r"|\bboard|\btable|\bzeros?\b|\bzeroes\b|\bones\b|\bbinary|\bbits?\b|\bhex|\brows?\b"
    r"|\bcolumns?\b|\bpyramid|\btriangle|\bsquare|\bborder|\bframe|\bbox\b|\bcheckerboard"
    r"|\bbitmap|\bplaceholder|\bblank|\btemplate|\bform\b|\bprogress bar|\bbar chart"
    r"|\bhistogram|\bsudoku|\bmaze|\bchart|\bworksheet|\bcalendar|\bdigits?\b|\bnumbers?\b"
    r"|\bfill\b|\bnp\.|\btorch\.|画|畫|矩阵|矩陣|数组|陣列|图案|圖案|表格|网格|零|二进制|方阵"
    r"|三角形|棋盘|空白|填空|数字|行\d*列|日历|matrix|zeichne|tabelle|dessine|tableau|matrice"
    r"|dibuj|tabla|matriz|tabella|disegna|narysuj|tabel|macierz|нарис|таблиц|матриц|tablo|çiz"
    r"|matris|gambar|bảng|ma trận|vẽ",
    "marks": r"\bline\b|\blines\b|\bdash|\bhyphen|\bunderscore|\bdots?\b|\bdotted|\bellips"
    r"|\basterisk|\bstars?\b|\bseparat|\bdivid|\bdelimit|\brule\b|\bruler\b|\bpunctuation"
    r"|\bsymbol|\bcharacter|\boperator|\bsigns?\b|\bmark|\bbracket|\bparenthes|\bquot|\bkey\b"
    r"|\bmorse|\bcomma|\bperiod|\bcolon|\bslash|\bpipe|\bequals|\bspaces?\b|\bexclamation"
    r"|\bdecorat|\bregex|\bspeechless|\bsilen|\bsay nothing|\bsuspense|线|線|横|破折|省略|下划"
    r"|星号|分隔|标点|標點|符号|符號|点|點|字符|运算符|感叹|沉默|括号|linie|strich|punkt|ligne"
    r"|trait|línea|linea|guion|punto|linha|tratt|kresk|kropk|линию|точк|çizgi|nokta|garis"
    r"|titik|đường|gạch|dấu",
    "emoji": r"\bemoji|\bemoticon|\bsmil|\blaugh|\bhaha|\blol\b|\bjoke|\bfunny|\bhearts?\b"
    r"|\bfaces?\b|\bkaomoji|\bapplau|\bclap|\bcelebrat|\bsticker|\bcry\b|\bcrying|表情|笑|哈"
    r"|爱心|心形|鼓掌|哭|颜文字|絵文字|이모지|웃|lach|\brire\b|\bris\b|risa|\bríe|ridi|risat"
    r"|śmie|смей|смех|gül|tertawa|cười",
    "list": r"\blist|\bexamples?\b|\bjson|\bxml|\byaml|\bcsv|\bhtml|\bsql|\blog\b|\blogs\b"
    r"|\btable|\bdata\b|\bdataset|\brecords?\b|\bentries|\bsentences\b|\bschedule|\bfizzbuzz"
    r"|\bcount|\bconjugat|\bdeclension|\bdrill|\bexercise|\bquiz|\bquestions\b|\btest cases?"
    r"|\bunit tests?|\bmultiplication|\bsteps\b|\bvariation|\bparaphras|\breasons\b"
    r"|\baffirmation|\bways\b|\boutline|\brules\b|列表|列出|列举|例子|例句|造句|数据|表格|乘法"
    r"|清单|变位|练习|测试|句子|排比|步骤|liste|beispiel|exemple|ejemplo|lista|esempi|przykład"
    r"|список|пример|liste|örnek|contoh|daftar|danh sách|ví dụ",
    "dialogue": r"\bdialog|\bconversation|\bscript\b|\binterview|\bfaq\b|\bq ?& ?a\b"
    r"|\bquestions? and answers?\b|\brole[- ]?play|\btranscript|\bexchange\b|\bchat\b"
    r"|\bchats\b|\bchatbot|\bscene|\bplay\b|\bskit|\bdebate|\bcall\b"
    r"|\btalk(?:ing)? (?:between|to)\b|\bfew[- ]shot|\bprompt|\bscreenplay"
    r"|\btraining (?:data|example)|\bsketch|\btestimon|\bpodcast|\bdrama|\bturns?\b"
    r"|\bflashcard|\bquiz|\bcredential|\bconfig|对话|對話|访谈|採訪|采访|问答|問答|剧本|劇本"
    r"|台词|聊天|角色扮演|相声|小品|会話|対話|대화|인터뷰|gespräch|dialogue|conversaci|diálogo"
    r"|conversa|conversazione|rozmow|wywiad|диалог|разговор|интервью|diyalog|sohbet|röportaj"
    r"|percakapan|wawancara|hội thoại|phỏng vấn|đối thoại",
    "template": r"\[/?\w+\]|<\|?\w+\|?>|<[/\w]{0,30}think\w{0,30}>|\bspecial tokens?\b"
    r"|\bchat ?template|\bprompt (?:format|template)|\bchatml\b|\btokeni[sz]|\b[eb]os\b"
    r"|\bstop tokens?\b|\bend[- ]of[- ](?:turn|text|sequence)|\binst\b|\bcontrol tokens?\b"
    r"|\bthink(?:ing)? (?:tags?|tokens?|blocks?)\b|\breasoning (?:tags?|tokens?|trace)"
    r"|\b(?:llama|mistral|qwen|gemma|phi|alpaca|vicuna|deepseek)\b.{0,80}\b(?:prompt|format|token|template|tag)"
    r"|\b(?:prompt|format|token|template|tag)s?\b.{0,80}\b(?:llama|mistral|qwen|gemma|phi|alpaca|vicuna|deepseek)\b"
    r"|\bfine[- ]?tun\w+ (?:data|format|template)|\bsystem prompt|特殊标记|特殊符号|特殊token"
    r"|对话模板|聊天模板|提示模板|提示词格式|提示格式|分词器|结束符|思考标签",
    "encoding": r"\bencod|\bdecod|\butf|\bunicode|\bmojibake|\bascii|\blatin-?1|\bcharset"
    r"|\bcodepage|\bgarbl|\breplacement char|\bbytes?\b|\bgarbage|\bzalgo|\bcorrupt|\bcipher"
    r"|\bencrypt|\bbase64|\bhex|编码|解码|乱码|亂碼|字符集|文字化け|인코딩|kodier|encodage"
    r"|codifica|kodowan|кодиров|кракозябр",
}  # fmt: skip
# Signs, figures and faces are also talked about ("my order number"): they are asked for only where
# the prompt asks to make something, or which sign it is.
_MADE: tuple[Form, ...] = ("drawing", "emoji", "marks")
_MAKING = re.compile(
    r"\b(?:draw|print|prints|write|show|make|create|give|generate|output|type|display|reply|replies"
    r"|answer|respond|send|insert|put|use|fill|add|render|design|produce|say|format|lots?|only|just"
    r"|react|express|compare|return|build|paint|sketch|start|end|symboli[sz]e)\b|\bnp\.|\btorch\."
    r"|\d ?[x×*] ?\d|\b(?:which|what)\b.{0,40}\b(?:characters?|symbols?|operators?|signs?"
    r"|(?:punctuation|question|exclamation) marks?|punctuation|delimiters?|separators?|keys?"
    r"|emojis?)\b"
    r"|[画畫写寫打印输輸生给給用发發做填来來加只]|描|書|作|그려|써|보내"
    r"|zeichne|schreib|druck|antwort|mach|erstell|zeig|dessine|écri|affiche|répond|fais|crée|montre"
    r"|dibuj|escrib|imprim|respond|haz|crea|muestr|desenh|escrev|mostr|disegn|scriv|stamp|rispond"
    r"|narysuj|napisz|wydrukuj|odpowiedz|zrób|pokaż|нарис|напиш|напечат|ответ|покаж|сделай"
    r"|çiz|yaz|göster|gambar|tulis|cetak|buat|kirim|vẽ|viết|in ra|tạo|gửi",
    re.IGNORECASE | re.DOTALL,
)
_PATTERNS: Mapping[Form, re.Pattern[str]] = {
    form: re.compile(words, re.IGNORECASE | re.DOTALL) for form, words in _WORDS.items()
}


def asks_for(prompt: str, *forms: Form) -> bool:
    """Whether a prompt uses a word by which one of the forms is asked for."""
    makes = _MAKING.search(prompt) is not None
    return any(
        _PATTERNS[form].search(prompt) is not None and (makes or form not in _MADE)
        for form in forms
    )
