# Ce que l'on dit aux gens, en français. `.do` est ce que l'on peut faire.

## A callback begins

calling = Nous vous appelons maintenant, puis l'autre numéro.
calling-asking = Nous vous appelons maintenant et vous demanderons l'autre numéro.
price = Une minute coûte { $price } ; { $balance } durent { $minutes } min.
price-only = Une minute coûte { $price }.
price-none = Cet appel est gratuit.

## It is over

talked-paid = Votre appel a duré { $length } et coûté { $cost }.
talked-free = Votre appel a duré { $length } et n'a rien coûté.
talked = Votre appel a duré { $length }.
paid = Coût : { $cost }.
left = Il reste { $balance }.
failed = Pas d'appel : { $why }.
failed-bare = Pas d'appel.

cut-cancelled = Il a été annulé.
cut-interrupted = Il a été interrompu de notre côté.
cut-no-funds = Le crédit du compte est épuisé.
cut-time-limit = La durée maximale a été atteinte.
cut-silent = La ligne est devenue muette.

end-a-no-answer = vous n'avez pas répondu à notre appel
    .do = Renvoyez-le quand vous pourrez répondre.
end-a-no-answer-after = { $tries ->
        [one] vous n'avez pas répondu à notre appel
       *[other] vous n'avez pas répondu après { $tries } essais
    }
    .do = Renvoyez-le quand vous pourrez répondre.
end-a-busy = votre téléphone était occupé à chaque appel
    .do = Renvoyez-le quand votre ligne sera libre.
end-a-unreachable = votre téléphone est injoignable
    .do = Vérifiez votre numéro et votre réseau, puis renvoyez-le.
end-a-declined = votre téléphone a refusé notre appel
    .do = Renvoyez-le quand vous pourrez répondre.
end-a-no-such-number = votre propre numéro n'existe pas
    .do = Vérifiez-le et renvoyez-le.
end-a-hung-up = vous avez raccroché avant la réponse
    .do = Renvoyez-le si vous voulez encore appeler.
end-b-busy = la ligne de votre ami est occupée
    .do = Renvoyez-le plus tard.
end-b-no-answer = votre ami n'a pas répondu
    .do = Renvoyez-le plus tard.
end-b-declined = votre ami a refusé l'appel
    .do = Renvoyez-le plus tard.
end-b-no-such-number = le numéro de votre ami n'existe pas
    .do = Vérifiez-le et renvoyez-le.
end-b-unreachable = votre ami est injoignable
    .do = Renvoyez-le plus tard.
end-machine = une machine a répondu
    .do = Renvoyez-le plus tard.
end-cancelled = il a été annulé
    .do = Renvoyez-le si vous voulez encore appeler.
end-interrupted = il a été interrompu de notre côté
    .do = Veuillez le renvoyer.
end-expired = il a trop tardé à commencer
    .do = Veuillez le renvoyer.
end-no-funds = il n'y a pas assez de crédit sur le compte
    .do = Rechargez-le et renvoyez-le.
end-blocked = ce numéro n'est pas appelé
    .do = Demandez-nous s'il doit l'être.
end-no-trunk = aucune ligne vers ce numéro n'est libre
    .do = Renvoyez-le plus tard.
end-no-price = il n'y a pas de prix pour ce numéro
    .do = Demandez-nous-en un.
end-not-possible = ce n'est pas possible
    .do = Demandez-nous pourquoi.
end-poisoned = cela a échoué de notre côté
    .do = Nous cherchons pourquoi.

## Answers to questions

balance = Vous avez { $balance }.
rate = Une minute coûte { $price } : { $price-a } pour votre téléphone, { $price-b } pour l'autre.
rate-lasts = { $balance } durent { $minutes } min.
last-call = Votre dernier appel a duré { $length } et coûté { $cost }.
last-call-none = Vous n'avez encore fait aucun appel.
quote-failed = Pas de réponse : { $why }.

## Commands

registered = Ce numéro appartient désormais au compte { $account }.
    .do = Envoyez HELP pour savoir quoi écrire.
stopped = Nous n'appellerons plus ce numéro.
    .do = Envoyez START pour l'autoriser à nouveau.
started = Nous pouvons à nouveau appeler ce numéro.
started-not = Nous avons bloqué les appels vers ce numéro.
    .do = Demandez-nous de les autoriser.
cancelled = { $calls ->
        [one] Votre appel est annulé.
       *[other] Vos { $calls } appels sont annulés.
    }
cancelled-none = Vous n'avez aucun appel en cours.
help = Vous pouvez envoyer :
help-commands = Aussi : { $commands }.
part-missing = Une partie de votre message manque, et personne n'a été appelé.
    .do = Renvoyez-le.

## Refusals

refused = Pas d'appel : { $why }.
refused-command = Pas fait : { $why }.
how = Envoyez : { $form }. Exemple : { $example }
party-a = le premier numéro
party-b = le second numéro
party-forward = le numéro de renvoi
of-party = { $party } : { $why }

form-words = nom code votre-numéro autre-numéro
form-destination = autre-numéro
form-pair = votre-numéro autre-numéro
form-blank = un message vide, et nous demanderons le numéro
form-call = CALL autre-numéro
form-last7 = 7-derniers-chiffres#autre-numéro
form-last7-temporary = 7-derniers-chiffres#code#votre-numéro#autre-numéro
form-pin = PIN autre-numéro votre-numéro
form-code-pin = 3266 PIN
form-pin-register = PIN votre-PIN
form-call-pair = CALL votre-numéro autre-numéro
form-dial-pair = D votre-numéro autre-numéro
form-phone = P autre-numéro
form-register = REG nom PIN

why-too-long = le message est trop long
why-too-few-words = il manque quelque chose dans le message
why-too-many-words = le message peut se lire de plusieurs façons ; écrivez les numéros sans espaces et un code avec espaces entre "guillemets"
why-ambiguous-text = le message peut se lire de plusieurs façons
why-not-understood = le message n'est pas compris
why-not-text = le message n'est pas un texte lisible
why-sender-not-registered = ce numéro n'est pas enregistré ici
why-bad-secret-or-user = le nom ou le code est faux
why-unknown-account = ce compte n'existe pas
why-account-disabled = le compte est désactivé
why-no-money = il n'y a pas de crédit sur le compte
why-same-number = les deux numéros sont identiques
why-already-calling = nous vous appelons déjà pour ces deux numéros
why-limit = il y a eu trop de demandes ; réessayez plus tard
why-no-callback-number = le compte n'a pas de numéro à appeler ; écrivez les deux numéros
why-ambiguous-did = ces derniers chiffres sont ceux de plusieurs comptes
why-not-your-account = ces derniers chiffres ne sont d'aucun de vos comptes
why-mail-not-vouched = ce compte n'accepte que du courrier signé par le domaine de l'expéditeur
why-nothing-to-repeat = il n'y a pas d'appel antérieur à répéter
why-secret-too-short = le code est trop court pour suffire seul ; envoyez REG, le nom et le code
why-number-taken = ce numéro est enregistré sur un autre compte
why-too-many-numbers = le compte a trop de numéros
why-sender-not-a-number = l'expéditeur n'est pas un numéro de téléphone
why-pin-needed = le premier numéro n'est pas enregistré sur le compte ; envoyez aussi le code, ou enregistrez le numéro
why-too-large = le message est trop long
why-not-now = ce n'est pas possible maintenant ; réessayez plus tard
why-not-vouched = le courriel n'est pas signé de façon sûre par le domaine de son expéditeur (DKIM)
why-address-not-registered = cette adresse n'est pas enregistrée ici

why-number-empty = il n'y a pas de numéro ; écrivez-le comme +442071838750
why-number-not-digits = un numéro n'a que des chiffres ; écrivez-le comme +442071838750
why-number-star-or-hash = on n'appelle pas de numéros avec * ou # ; écrivez-en un comme +442071838750
why-number-too-short = il est trop court ; on n'appelle ni numéros d'urgence ni de service
why-number-too-long = il est trop long ; un numéro a 15 chiffres au plus, comme +442071838750
why-number-leading-zero = après + vient l'indicatif du pays, qui ne commence jamais par 0
why-number-no-country = il manque le pays ; écrivez le numéro avec son indicatif, comme +442071838750
why-number-ambiguous = il peut se lire de deux façons ; écrivez-le avec + et l'indicatif du pays

why-never-dial = on n'appelle ni numéros d'urgence ni de service
why-hard-block-prefixes = on n'appelle ni numéros surtaxés ni satellites
why-nanp-caribbean-review = les numéros des Caraïbes et du Pacifique ne sont pas permis pour ce compte
why-country-not-allowed = ce pays n'est pas permis pour ce compte
why-do-not-call = ce numéro a demandé à ne pas être appelé

## Mail

mail-greeting = Bonjour,
mail-end = Ceci est une réponse automatique du service de rappel.
subject-calling = Nous vous appelons
subject-over = Votre appel
subject-refused = Pas d'appel
subject-answer = Votre question

## Lengths

length-seconds = { $seconds } s
length-minutes = { $minutes } min
length-minutes-seconds = { $minutes } min { $seconds } s
length-hours = { $hours } h { $minutes } min
