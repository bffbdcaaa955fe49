# 对用户说的话，中文。`.do` 是用户可以怎么做。

## A callback begins

calling = 正在呼叫您，随后接通对方。
calling-asking = 正在呼叫您，接听后请输入对方号码。
price = 每分钟 { $price }，余额 { $balance } 可通话 { $minutes } 分钟。
price-only = 每分钟 { $price }。
price-none = 本次通话免费。

## It is over

talked-paid = 通话 { $length }，费用 { $cost }。
talked-free = 通话 { $length }，免费。
talked = 通话 { $length }。
paid = 费用 { $cost }。
left = 余额 { $balance }。
failed = 未能回拨：{ $why }。
failed-bare = 未能回拨。

cut-cancelled = 通话已被取消。
cut-interrupted = 因我方故障中断。
cut-no-funds = 账户余额已用完。
cut-time-limit = 已达最长通话时间。
cut-silent = 线路中没有声音。

end-a-no-answer = 您没有接听
    .do = 方便接听时请重新发送。
end-a-no-answer-after = 呼叫 { $tries } 次，您没有接听
    .do = 方便接听时请重新发送。
end-a-busy = 您的电话一直占线
    .do = 线路空闲时请重新发送。
end-a-unreachable = 无法接通您的电话
    .do = 请检查号码和信号后重新发送。
end-a-declined = 您的电话拒接了
    .do = 方便接听时请重新发送。
end-a-no-such-number = 您的号码不存在
    .do = 请检查后重新发送。
end-a-hung-up = 对方接听前您已挂机
    .do = 如仍需通话请重新发送。
end-b-busy = 对方正忙
    .do = 请稍后重新发送。
end-b-no-answer = 对方没有接听
    .do = 请稍后重新发送。
end-b-declined = 对方拒接
    .do = 请稍后重新发送。
end-b-no-such-number = 对方号码不存在
    .do = 请检查后重新发送。
end-b-unreachable = 无法接通对方
    .do = 请稍后重新发送。
end-machine = 接听的是录音
    .do = 请稍后重新发送。
end-cancelled = 已取消
    .do = 如仍需通话请重新发送。
end-interrupted = 因我方故障中断
    .do = 请重新发送。
end-expired = 等待时间过长
    .do = 请重新发送。
end-no-funds = 账户余额不足
    .do = 请充值后重新发送。
end-blocked = 不呼叫该号码
    .do = 如需开通请联系我们。
end-no-trunk = 到该号码的线路全忙
    .do = 请稍后重新发送。
end-no-price = 该号码没有资费
    .do = 请联系我们。
end-not-possible = 无法进行
    .do = 请联系我们。
end-poisoned = 我方出现故障
    .do = 我们正在处理。

## Answers to questions

balance = 余额 { $balance }。
rate = 每分钟 { $price }：您的电话 { $price-a }，对方 { $price-b }。
rate-lasts = 余额 { $balance } 可通话 { $minutes } 分钟。
last-call = 上次通话 { $length }，费用 { $cost }。
last-call-none = 您还没有通话记录。
quote-failed = 无法回答：{ $why }。

## Commands

registered = 本号码已登记到账户 { $account }。
    .do = 发送 HELP 查看用法。
stopped = 我们不再呼叫本号码。
    .do = 发送 START 可恢复。
started = 我们可以再次呼叫本号码。
started-not = 我方禁止呼叫本号码。
    .do = 如需恢复请联系我们。
cancelled = 已取消您的 { $calls } 个通话。
cancelled-none = 您没有进行中的通话。
help = 您可以发送：
help-commands = 还可以：{ $commands }。
part-missing = 您的短信缺少一部分，没有呼叫任何人。
    .do = 请重新发送。

## Refusals

refused = 未能回拨：{ $why }。
refused-command = 未执行：{ $why }。
how = 请发送：{ $form }。例如：{ $example }
party-a = 主叫号码
party-b = 被叫号码
party-forward = 转接号码
of-party = { $party }：{ $why }

form-words = 用户名 密码 主叫号码 被叫号码
form-destination = 被叫号码
form-pair = 主叫号码 被叫号码
form-blank = 空短信，接听后输入被叫号码
form-call = CALL 被叫号码
form-last7 = 后7位#被叫号码
form-last7-temporary = 后7位#密码#主叫号码#被叫号码
form-pin = PIN 被叫号码 主叫号码
form-code-pin = 3266 PIN
form-pin-register = PIN 您的PIN
form-call-pair = CALL 主叫号码 被叫号码
form-dial-pair = D 主叫号码 被叫号码
form-phone = P 被叫号码
form-register = REG 用户名 PIN

why-too-long = 短信太长
why-too-few-words = 内容不完整
why-too-many-words = 内容有多种读法；号码中不要有空格，带空格的密码请用"引号"
why-ambiguous-text = 内容有多种读法
why-not-understood = 看不懂内容
why-not-text = 不是可读的文字
why-sender-not-registered = 本号码未登记
why-bad-secret-or-user = 用户名或密码错误
why-unknown-account = 没有该账户
why-account-disabled = 账户已停用
why-no-money = 账户没有余额
why-same-number = 两个号码相同
why-already-calling = 正在为您接通这两个号码
why-limit = 请求过多，请稍后再试
why-no-callback-number = 账户没有可呼叫的号码，请写出两个号码
why-ambiguous-did = 有多个账户的号码以这些数字结尾
why-not-your-account = 您没有以这些数字结尾的账户
why-mail-not-vouched = 该账户只接受由发件人域名签名的邮件
why-nothing-to-repeat = 没有可重拨的通话
why-secret-too-short = 仅凭密码太短，请发送 REG 用户名 密码
why-number-taken = 本号码已登记到其他账户
why-too-many-numbers = 账户的号码过多
why-sender-not-a-number = 发件人不是电话号码
why-pin-needed = 主叫号码未登记到该账户，请同时发送密码，或先登记该号码
why-too-large = 内容太长
why-not-now = 暂时无法进行，请稍后再试
why-not-vouched = 这封邮件没有发件人域名的可信签名（DKIM）
why-address-not-registered = 此邮箱地址未在这里登记

why-number-empty = 没有号码，请写成 +442071838750
why-number-not-digits = 号码只能是数字，请写成 +442071838750
why-number-star-or-hash = 不呼叫带 * 或 # 的号码，请写成 +442071838750
why-number-too-short = 号码太短；不呼叫紧急和服务号码
why-number-too-long = 号码太长，最多 15 位，如 +442071838750
why-number-leading-zero = + 后面是国家代码，不以 0 开头
why-number-no-country = 缺少国家代码，请写成 +442071838750
why-number-ambiguous = 号码有两种读法，请写 + 和国家代码

why-never-dial = 不呼叫紧急和服务号码
why-hard-block-prefixes = 不呼叫高额收费和卫星号码
why-nanp-caribbean-review = 该账户不能呼叫加勒比和太平洋地区
why-country-not-allowed = 该账户不能呼叫该国家
why-do-not-call = 该号码要求不被呼叫

## Mail

mail-greeting = 您好！
mail-end = 本邮件由回拨服务自动回复。
subject-calling = 正在呼叫您
subject-over = 您的通话
subject-refused = 未能回拨
subject-answer = 您的查询

## Lengths

length-seconds = { $seconds } 秒
length-minutes = { $minutes } 分钟
length-minutes-seconds = { $minutes } 分 { $seconds } 秒
length-hours = { $hours } 小时 { $minutes } 分
