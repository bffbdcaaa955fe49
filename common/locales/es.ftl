# Lo que se dice a la gente, en español. `.do` es lo que se puede hacer.

## A callback begins

calling = Le llamamos ahora y después al otro número.
calling-asking = Le llamamos ahora y le pediremos el otro número.
price = Un minuto cuesta { $price }; { $balance } duran { $minutes } min.
price-only = Un minuto cuesta { $price }.
price-none = Esta llamada es gratis.

## It is over

talked-paid = Su llamada duró { $length } y costó { $cost }.
talked-free = Su llamada duró { $length } y no costó nada.
talked = Su llamada duró { $length }.
paid = Costó { $cost }.
left = Quedan { $balance }.
failed = Sin llamada: { $why }.
failed-bare = Sin llamada.

cut-cancelled = Fue cancelada.
cut-interrupted = La interrumpió un fallo nuestro.
cut-no-funds = Se agotó el saldo de la cuenta.
cut-time-limit = Se alcanzó la duración máxima.
cut-silent = La línea quedó en silencio.

end-a-no-answer = usted no contestó cuando llamamos
    .do = Envíelo otra vez cuando pueda contestar.
end-a-no-answer-after = { $tries ->
        [one] usted no contestó nuestra llamada
       *[other] usted no contestó tras { $tries } intentos
    }
    .do = Envíelo otra vez cuando pueda contestar.
end-a-busy = su teléfono estaba ocupado cada vez que llamamos
    .do = Envíelo otra vez cuando su línea esté libre.
end-a-unreachable = no pudimos alcanzar su teléfono
    .do = Compruebe su número y su red y envíelo otra vez.
end-a-declined = su teléfono rechazó nuestra llamada
    .do = Envíelo otra vez cuando pueda contestar.
end-a-no-such-number = su propio número no existe
    .do = Compruébelo y envíelo otra vez.
end-a-hung-up = usted colgó antes de que contestaran
    .do = Envíelo otra vez si aún quiere la llamada.
end-b-busy = la línea de su amigo está ocupada
    .do = Envíelo otra vez más tarde.
end-b-no-answer = su amigo no contestó
    .do = Envíelo otra vez más tarde.
end-b-declined = su amigo rechazó la llamada
    .do = Envíelo otra vez más tarde.
end-b-no-such-number = el número de su amigo no existe
    .do = Compruébelo y envíelo otra vez.
end-b-unreachable = no pudimos alcanzar a su amigo
    .do = Envíelo otra vez más tarde.
end-machine = contestó una máquina
    .do = Envíelo otra vez más tarde.
end-cancelled = fue cancelada
    .do = Envíelo otra vez si aún quiere la llamada.
end-interrupted = la interrumpió un fallo nuestro
    .do = Por favor, envíelo otra vez.
end-expired = tardó demasiado en empezar
    .do = Por favor, envíelo otra vez.
end-no-funds = no hay suficiente saldo en la cuenta
    .do = Recárguela y envíelo otra vez.
end-blocked = a este número no se llama
    .do = Pregúntenos si debe permitirse.
end-no-trunk = ninguna línea hacia este número está libre
    .do = Envíelo otra vez más tarde.
end-no-price = no hay precio para este número
    .do = Pídanos uno.
end-not-possible = no es posible
    .do = Pregúntenos por qué.
end-poisoned = falló por nuestra parte
    .do = Lo estamos investigando.

## Answers to questions

balance = Tiene { $balance }.
rate = Un minuto cuesta { $price }: { $price-a } por su teléfono, { $price-b } por el otro.
rate-lasts = { $balance } duran { $minutes } min.
last-call = Su última llamada duró { $length } y costó { $cost }.
last-call-none = Aún no ha hecho ninguna llamada.
quote-failed = Sin respuesta: { $why }.

## Commands

registered = Este número pertenece ahora a la cuenta { $account }.
    .do = Envíe HELP para saber qué puede escribir.
stopped = No llamaremos más a este número.
    .do = Envíe START para permitirlo otra vez.
started = Podemos llamar otra vez a este número.
started-not = Hemos bloqueado las llamadas a este número.
    .do = Pídanos que las permitamos.
cancelled = { $calls ->
        [one] Su llamada está cancelada.
       *[other] Sus { $calls } llamadas están canceladas.
    }
cancelled-none = No tiene ninguna llamada en curso.
help = Puede enviar:
help-commands = También: { $commands }.
part-missing = Falta una parte de su mensaje y no se llamó a nadie.
    .do = Envíelo otra vez.

## Refusals

refused = Sin llamada: { $why }.
refused-command = No hecho: { $why }.
how = Envíe: { $form }. Ejemplo: { $example }
party-a = el primer número
party-b = el segundo número
party-forward = el número de desvío
of-party = { $party }: { $why }

form-words = nombre clave su-número otro-número
form-destination = otro-número
form-pair = su-número otro-número
form-blank = un mensaje vacío, y le pediremos el número
form-call = CALL otro-número
form-last7 = últimas-7-cifras#otro-número
form-last7-temporary = últimas-7-cifras#clave#su-número#otro-número
form-pin = PIN otro-número su-número
form-code-pin = 3266 PIN
form-pin-register = PIN su-PIN
form-call-pair = CALL su-número otro-número
form-dial-pair = D su-número otro-número
form-phone = P otro-número
form-register = REG nombre PIN

why-too-long = el mensaje es demasiado largo
why-too-few-words = falta algo en el mensaje
why-too-many-words = el mensaje se puede leer de varias maneras; escriba los números sin espacios y una clave con espacios entre "comillas"
why-ambiguous-text = el mensaje se puede leer de varias maneras
why-not-understood = no se entiende el mensaje
why-not-text = el mensaje no es texto legible
why-sender-not-registered = este número no está registrado aquí
why-bad-secret-or-user = el nombre o la clave no son correctos
why-unknown-account = no existe esa cuenta
why-account-disabled = la cuenta está desactivada
why-no-money = no hay saldo en la cuenta
why-same-number = los dos números son el mismo
why-already-calling = ya le estamos llamando para estos dos números
why-limit = hubo demasiadas peticiones; inténtelo más tarde
why-no-callback-number = la cuenta no tiene número al que llamar; escriba los dos números
why-ambiguous-did = estas últimas cifras son de más de una cuenta
why-not-your-account = estas últimas cifras no son de ninguna cuenta suya
why-mail-not-vouched = esta cuenta solo acepta correo firmado por el dominio de su remitente
why-nothing-to-repeat = no hay llamada anterior que repetir
why-secret-too-short = la clave es demasiado corta para bastar sola; envíe REG, el nombre y la clave
why-number-taken = este número está registrado en otra cuenta
why-too-many-numbers = la cuenta tiene demasiados números
why-sender-not-a-number = el remitente no es un número de teléfono
why-pin-needed = el primer número no está registrado en la cuenta; envíe también la clave, o registre el número
why-too-large = el mensaje es demasiado largo
why-not-now = ahora no es posible; inténtelo más tarde
why-not-vouched = el correo no está firmado por el dominio de su remitente de un modo fiable (DKIM)
why-address-not-registered = esta dirección no está registrada aquí

why-number-empty = no hay número; escríbalo así: +442071838750
why-number-not-digits = un número solo tiene cifras; escríbalo así: +442071838750
why-number-star-or-hash = no se llama a números con * o #; escriba uno como +442071838750
why-number-too-short = es demasiado corto; no se llama a números de emergencia ni de servicio
why-number-too-long = es demasiado largo; un número tiene como mucho 15 cifras, como +442071838750
why-number-leading-zero = tras + va el código del país, que nunca empieza por 0
why-number-no-country = falta el país; escríbalo con su código, como +442071838750
why-number-ambiguous = se puede leer de dos maneras; escríbalo con + y el código del país

why-never-dial = no se llama a números de emergencia ni de servicio
why-hard-block-prefixes = no se llama a números de tarificación especial ni por satélite
why-nanp-caribbean-review = los números del Caribe y del Pacífico no están permitidos para esta cuenta
why-country-not-allowed = este país no está permitido para esta cuenta
why-do-not-call = este número ha pedido que no se le llame

## Mail

mail-greeting = Buenos días:
mail-end = Esta es una respuesta automática del servicio de llamadas.
subject-calling = Le llamamos
subject-over = Su llamada
subject-refused = Sin llamada
subject-answer = Su pregunta

## Lengths

length-seconds = { $seconds } s
length-minutes = { $minutes } min
length-minutes-seconds = { $minutes } min { $seconds } s
length-hours = { $hours } h { $minutes } min
