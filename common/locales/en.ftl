# What people are told, in English. `.do` is what to do about it.

## A callback begins

calling = We are calling you now, then the other number.
calling-asking = We are calling you now and will ask you for the other number.
price = A minute costs { $price }; { $balance } last { $minutes } min.
price-only = A minute costs { $price }.
price-none = This call is free.

## It is over

talked-paid = Your call lasted { $length } and cost { $cost }.
talked-free = Your call lasted { $length } and cost nothing.
talked = Your call lasted { $length }.
paid = It cost { $cost }.
left = { $balance } left.
failed = No callback: { $why }.
failed-bare = No callback.

cut-cancelled = It was cancelled.
cut-interrupted = It was interrupted on our side.
cut-no-funds = The money on the account was used up.
cut-time-limit = The longest time of a call was reached.
cut-silent = The line went silent.

end-a-no-answer = you did not answer when we called
    .do = Send it again when you can answer.
end-a-no-answer-after = { $tries ->
        [one] you did not answer our call
       *[other] you did not answer after { $tries } tries
    }
    .do = Send it again when you can answer.
end-a-busy = your phone was busy each time we called
    .do = Send it again when your line is free.
end-a-unreachable = your phone could not be reached
    .do = Check your number and your network, then send it again.
end-a-declined = your phone declined our call
    .do = Send it again when you can answer.
end-a-no-such-number = your own number does not exist
    .do = Check it and send it again.
end-a-hung-up = you hung up before the other party answered
    .do = Send it again if you still want the call.
end-b-busy = your friend's line is busy
    .do = Send it again later.
end-b-no-answer = your friend did not answer
    .do = Send it again later.
end-b-declined = your friend declined the call
    .do = Send it again later.
end-b-no-such-number = your friend's number does not exist
    .do = Check it and send it again.
end-b-unreachable = your friend could not be reached
    .do = Send it again later.
end-machine = a machine answered
    .do = Send it again later.
end-cancelled = it was cancelled
    .do = Send it again if you still want the call.
end-interrupted = it was interrupted on our side
    .do = Please send it again.
end-expired = it took too long to begin
    .do = Please send it again.
end-no-funds = there is not enough money on the account
    .do = Top it up and send it again.
end-blocked = this number is not called
    .do = Ask us if it should be.
end-no-trunk = no line to this number is free
    .do = Send it again later.
end-no-price = there is no price for this number
    .do = Ask us for one.
end-not-possible = it is not possible
    .do = Ask us why.
end-poisoned = it failed on our side
    .do = We are looking into it.

## Answers to questions

balance = You have { $balance }.
rate = A minute costs { $price }: { $price-a } for your phone, { $price-b } for theirs.
rate-lasts = { $balance } last { $minutes } min.
last-call = Your last call lasted { $length } and cost { $cost }.
last-call-none = You have made no call yet.
quote-failed = No answer: { $why }.

## Commands

registered = This number now belongs to the account { $account }.
    .do = Send HELP for what you can write.
stopped = We will not call this number any more.
    .do = Send START to allow it again.
started = We may call this number again.
started-not = Calls to this number are blocked by us.
    .do = Ask us to allow them.
cancelled = { $calls ->
        [one] Your call is cancelled.
       *[other] Your { $calls } calls are cancelled.
    }
cancelled-none = No call of yours is under way.
help = You can send:
help-commands = Also: { $commands }.
part-missing = A part of your text is missing, and nobody was called.
    .do = Send it again.

## Refusals

refused = No callback: { $why }.
refused-command = Not done: { $why }.
how = Send: { $form }. Example: { $example }
party-a = the first number
party-b = the second number
party-forward = the forwarding number
of-party = { $party }: { $why }

form-words = name password your-number other-number
form-destination = other-number
form-pair = your-number other-number
form-blank = an empty text, to be asked for the number
form-call = CALL other-number
form-last7 = last-7-digits#other-number
form-last7-temporary = last-7-digits#password#your-number#other-number
form-pin = PIN other-number your-number
form-code-pin = 3266 PIN
form-pin-register = PIN your-PIN
form-call-pair = CALL your-number other-number
form-dial-pair = D your-number other-number
form-phone = P other-number
form-register = REG name PIN

why-too-long = the text is too long
why-too-few-words = something is missing in the text
why-too-many-words = the text can be read in several ways; write numbers without spaces and a password with spaces in "quotes"
why-ambiguous-text = the text can be read in several ways
why-not-understood = the text is not understood
why-not-text = the message is no readable text
why-sender-not-registered = this number is not registered here
why-bad-secret-or-user = the user name or the password is wrong
why-unknown-account = there is no such account
why-account-disabled = the account is disabled
why-no-money = there is no money on the account
why-same-number = both numbers are the same
why-already-calling = you are already being called for these two numbers
why-limit = there were too many requests; try again later
why-no-callback-number = the account has no number to call; name both numbers
why-ambiguous-did = these last digits belong to more than one account
why-not-your-account = these last digits belong to no account of yours
why-mail-not-vouched = this account takes only mail that is signed by its sender's domain
why-nothing-to-repeat = there is no earlier callback to repeat
why-secret-too-short = the password is too short to be enough alone; send REG, the user name and the password
why-number-taken = this number is registered to another account
why-too-many-numbers = the account has too many numbers
why-sender-not-a-number = the sender is not a telephone number
why-pin-needed = the first number is not registered to the account; send the password too, or register the number
why-too-large = the message is too long
why-not-now = it is not possible now; try again later
why-not-vouched = the mail is not signed by its sender's domain in a way that we can trust (DKIM)
why-address-not-registered = this address is not registered here

why-number-empty = there is no number; write it like +442071838750
why-number-not-digits = a number has only digits; write it like +442071838750
why-number-star-or-hash = numbers with * or # are never called; write a number like +442071838750
why-number-too-short = the number is too short; emergency and service numbers are never called
why-number-too-long = the number is too long; a number has at most 15 digits, like +442071838750
why-number-leading-zero = after + comes the country code, which never begins with 0
why-number-no-country = the country is missing; write the number with its country code, like +442071838750
why-number-ambiguous = the number can be read in two ways; write it with + and its country code

why-never-dial = emergency and service numbers are never called
why-hard-block-prefixes = special rate and satellite numbers are not called
why-nanp-caribbean-review = Caribbean and Pacific numbers are not allowed for this account
why-country-not-allowed = this country is not allowed for this account
why-do-not-call = this number has asked not to be called

## Mail

mail-greeting = Hello,
mail-end = This is an automatic answer of the callback service.
subject-calling = We are calling you
subject-over = Your call
subject-refused = No callback
subject-answer = Your question

## Lengths

length-seconds = { $seconds } s
length-minutes = { $minutes } min
length-minutes-seconds = { $minutes } min { $seconds } s
length-hours = { $hours } h { $minutes } min
