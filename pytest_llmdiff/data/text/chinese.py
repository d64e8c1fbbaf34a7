"""Perturbations of Chinese text: simplified to traditional characters, half-width marks."""

from __future__ import annotations

import random

# Frequent characters with exactly one counterpart in each direction. Those that stand for several
# (发, 后, 面, 里, 只, 系, 台, 干, 复, 历, 钟 …) are left out.
_SIMPLIFIED = (
    "个们来时说国会这过还对没给让进动开门问间见现长东车电话语读写书学习"
    "师医药饭馆钱银级经纪约红纸线结组织绍终统继续绩练细绿缓编网"
    "买卖贵费货质购贸账资赛赞赢贡财贫责败"
    "请谢认识讲论设计许证词试诗谁调谈记订议译评该详误课"
    "铁错锁镇镜钥难鸡鸭鱼鸟马骂骑验龙飞风听"
    "视觉观规览亲马妈吗码为义乐习乡争产亿从仅仓价众优伤体"
    "侧储儿兰关兴养兽农决况净减凤处备够头夺奖妇孙宝实审宽宾寻导将尝层岁岛帅帮广庆库应庙张弹强归录当彻"
    "战户扩扫扬抢护报担拥择换挤损据总恋恶惊惯戏执护无旧显晓暂术机杀杂权条极构标样树桥检楼"
    "欢欧毕气汉汤沟泪泽洁浅测济浓涛润渐温湾满灭灯灵炉点热爱爷牵状犹独狭猎环"
    "疗疯盐盖监盘矿码确礼离种积称稳穷窃竞笔笼类紧"
    "罗罚职联肃肠肤肿胁胜脑脚脸节艺苏荐荣萝蓝虑虽蚁补装誉"
    "轮软轻载辆辑输边达迁运远违连迟适选递逻遗邮邻酱释针"
    "闭闹闻阅队阳阴阵阶际陆陈险随隐雾静顶顺项须顾顿预领频题颜额饮饱饰饿馒"
)
_TRADITIONAL = (
    "個們來時說國會這過還對沒給讓進動開門問間見現長東車電話語讀寫書學習"
    "師醫藥飯館錢銀級經紀約紅紙線結組織紹終統繼續績練細綠緩編網"
    "買賣貴費貨質購貿賬資賽贊贏貢財貧責敗"
    "請謝認識講論設計許證詞試詩誰調談記訂議譯評該詳誤課"
    "鐵錯鎖鎮鏡鑰難雞鴨魚鳥馬罵騎驗龍飛風聽"
    "視覺觀規覽親馬媽嗎碼為義樂習鄉爭產億從僅倉價眾優傷體"
    "側儲兒蘭關興養獸農決況淨減鳳處備夠頭奪獎婦孫寶實審寬賓尋導將嘗層歲島帥幫廣慶庫應廟張彈強歸錄當徹"
    "戰戶擴掃揚搶護報擔擁擇換擠損據總戀惡驚慣戲執護無舊顯曉暫術機殺雜權條極構標樣樹橋檢樓"
    "歡歐畢氣漢湯溝淚澤潔淺測濟濃濤潤漸溫灣滿滅燈靈爐點熱愛爺牽狀猶獨狹獵環"
    "療瘋鹽蓋監盤礦碼確禮離種積稱穩窮竊競筆籠類緊"
    "羅罰職聯肅腸膚腫脅勝腦腳臉節藝蘇薦榮蘿藍慮雖蟻補裝譽"
    "輪軟輕載輛輯輸邊達遷運遠違連遲適選遞邏遺郵鄰醬釋針"
    "閉鬧聞閱隊陽陰陣階際陸陳險隨隱霧靜頂順項須顧頓預領頻題顏額飲飽飾餓饅"
)
_TO_TRADITIONAL = str.maketrans(_SIMPLIFIED, _TRADITIONAL)
_TO_SIMPLIFIED = str.maketrans(_TRADITIONAL, _SIMPLIFIED)
_MARKS = str.maketrans("，。？！：；（）“”", ',.?!:;()""')


def traditional(text: str, rng: random.Random) -> list[str]:  # noqa: ARG001
    """Simplified characters as traditional ones; if there are none, the other way round."""
    changed = text.translate(_TO_TRADITIONAL)
    return [changed if changed != text else text.translate(_TO_SIMPLIFIED)]


def half_width(text: str, rng: random.Random) -> list[str]:  # noqa: ARG001
    """Chinese punctuation as half-width marks."""
    return [text.translate(_MARKS)]


def in_traditional(text: str) -> bool:
    """Whether some of its characters have a simplified form, and none a traditional one."""
    return text.translate(_TO_SIMPLIFIED) != text == text.translate(_TO_TRADITIONAL)
