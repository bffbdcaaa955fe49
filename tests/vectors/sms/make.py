#!/usr/bin/env python3
"""Makes the recorded requests beside this file: what each provider posts, signed or at least checked by its own published SDK.

    python3 -m venv v && v/bin/pip install twilio==9.13.0 plivo==4.63.0 telnyx==4.189.0 PyNaCl messagebird==2.2.0 \
        vonage==3.17.4 vonage-jwt==1.1.5 botocore==1.44.5 cryptography==50.0.2
    v/bin/python make.py

Keys and moments are fixed, so the files stay as they are unless this script changes. `made_by` in each file says who signed.
"""
import base64, datetime, hashlib, hmac, json, pathlib, time, urllib.parse
from unittest import mock

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

HERE = pathlib.Path(__file__).parent
NOW = 1790000000
TEXT = "alice s3cret 004412345678 004498765432"
FROM, TO = "+447700900001", "+442071838750"
PATH_SECRET = "4fa1c7e09b2d4c55"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
GARBAGE = ["", "null", "[]", "{", "\x00\x01", "a=b&a=b", "[" * 2000]


def request(what, body="", headers=None, method="POST", query="", secret="", told=None):
    if not isinstance(body, str):
        body = json.dumps(body)
    return {"what": what, "method": method, "secret": secret, "query": query, "headers": headers or {}, "body": body,
            "told": told or []}


def told(message_id, body=TEXT, sender=FROM, to=TO):
    return {"id": message_id, "from": sender, "to": to, "body": body}


def write(name, made_by, settings, covers, accepted, garbage=(), nothing=(), **more):
    file = {"made_by": made_by, "now": NOW, "settings": settings, "covers": covers, "accepted": accepted,
            "garbage": list(garbage), "nothing": list(nothing), **more}
    (HERE / f"{name}.json").write_text(json.dumps(file, indent=1, ensure_ascii=True) + "\n")


def form(fields):
    return urllib.parse.urlencode(fields)


# --- signed by an SDK ----------------------------------------------------------------------------------------------------

def twilio():
    from twilio.request_validator import RequestValidator
    url, token = "https://sms.example.net/sms/twilio", "12345"
    fields = {"MessageSid": "SM0123456789abcdef", "AccountSid": "AC0123456789abcdef", "From": FROM, "To": TO, "Body": TEXT,
              "NumMedia": "0", "NumSegments": "1"}
    sign = lambda url, fields: RequestValidator(token).compute_signature(url, fields)
    headers = lambda fields, query="": {**FORM, "x-twilio-signature": sign(url + query, fields)}
    unicode = {**fields, "MessageSid": "SM2", "Body": "алиса пароль"}
    bad = {"AccountSid": fields["AccountSid"]}
    write("twilio", "twilio 9.13.0 (PyPI), RequestValidator.compute_signature",
          {"provider": "twilio", "account": fields["AccountSid"], "token": token, "public_url": url},
          ["body", "url", "key"],
          [request("a text", form(fields), headers(fields), told=[told(fields["MessageSid"])]),
           request("letters of other scripts", form(unicode), headers(unicode), told=[told("SM2", unicode["Body"])]),
           request("a query that was set at Twilio", form(fields), headers(fields, "?site=1"), query="site=1",
                   told=[told(fields["MessageSid"])])],
          [request("no fields", form(bad), headers(bad))])


def vonage():
    import vonage as sdk
    fields = {"msisdn": FROM[1:], "to": TO[1:], "messageId": "0A0000000123ABCD1", "text": TEXT, "type": "text",
              "keyword": "ALICE", "api-key": "abcd1234", "message-timestamp": "2026-09-21 14:13:20", "timestamp": str(NOW),
              "nonce": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"}
    odd = {**fields, "messageId": "2", "text": "a=1&b=2"}
    methods = {"md5hash": None, "md5": "md5", "sha1": "sha1", "sha256": "sha256", "sha512": "sha512"}
    for name, method in methods.items():
        client = sdk.Client(key="abcd1234", secret="s", signature_secret="my_secret_key_for_testing", signature_method=method)
        signed = lambda fields: {**fields, "sig": client.signature(dict(fields))}
        ok = [told(fields["messageId"])]
        write(f"vonage-{name}", f"vonage 3.17.4 (PyPI), Client.signature with signature_method={method}",
              {"provider": "vonage", "account": "abcd1234", "token": "s", "signature": name,
               "signing_key": "my_secret_key_for_testing"},
              ["body", "time", "key"],
              [request("by GET", method="GET", query=form(signed(fields)), told=ok),
               request("as a form", form(signed(fields)), FORM, told=ok),
               request("as JSON", signed(fields), JSON, told=ok),
               request("separators in the text", form(signed(odd)), FORM, told=[told("2", odd["text"])])],
              [],
              [request("a binary message", form(signed({**fields, "type": "binary"})), FORM),
               request("Vonage's own test", form(signed({"timestamp": str(NOW)})), FORM),
               request("no text", form(signed({k: v for k, v in fields.items() if k != "text"})), FORM)],
              window=25 * 3600)


def vonage_messages():
    from vonage_jwt import verify_signature
    secret = "ZYcwL0NY5xgHBiSu3eZdPL7hcMpyQJcK2IIZIWiYGIJ2nAvH6Q"
    def signed(body, key="abcd1234"):
        raw = body if isinstance(body, str) else json.dumps(body)
        claims = {"iat": NOW, "jti": "0c4f2f7e", "iss": "Vonage", "api_key": key, "application_id": "a",
                  "payload_hash": hashlib.sha256(raw.encode()).hexdigest()}
        token = jwt.encode(claims, secret, algorithm="HS256")
        assert verify_signature(token, secret)
        return {**JSON, "authorization": f"Bearer {token}"}
    message = {"channel": "sms", "message_uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "to": TO[1:], "from": FROM[1:],
               "timestamp": "2026-09-21T14:13:20Z", "text": TEXT, "message_type": "text", "sms": {"num_messages": "1"}}
    image = {**message, "message_type": "image"}
    write("vonage-messages", "a token as documented, checked by vonage-jwt 1.1.5 (PyPI), verify_signature",
          {"provider": "vonage-messages", "account": "abcd1234", "token": "s", "signing_key": secret},
          ["body", "time", "key", "account"],
          [request("a text", message, signed(message), told=[told(message["message_uuid"])])],
          [request("garbage", body, signed(body)) for body in GARBAGE],
          [request("an image", image, signed(image))], window=300)


def plivo():
    from plivo.utils import validate_signature
    url, token, nonce = "https://sms.example.net/sms/plivo", "MzY5ODQ5NzE2NTQ5ODY0", "05429567804466091622"
    signature = base64.b64encode(hmac.new(token.encode(), (url + nonce).encode(), hashlib.sha256).digest()).decode()
    assert validate_signature(url, nonce, signature, token)
    fields = {"From": FROM[1:], "To": TO[1:], "Text": TEXT, "MessageUUID": "5b40a428-bfc7-4daf-9d06-726c558bf3b8", "Type": "sms"}
    headers = {**FORM, "x-plivo-signature-v2-nonce": nonce}
    ok = [told(fields["MessageUUID"])]
    write("plivo", "HMAC as documented, checked by plivo 4.63.0 (PyPI), utils.validate_signature",
          {"provider": "plivo", "account": "MAXXXXXXXXXXXXXXXXXX", "token": token, "public_url": url}, ["url", "key"],
          [request("signed by the account", form(fields), {**headers, "x-plivo-signature-v2": signature}, told=ok),
           request("signed by the main account", form(fields), {**headers, "x-plivo-signature-ma-v2": signature}, told=ok)],
          [request("garbage", body, {**headers, "x-plivo-signature-v2": signature}) for body in GARBAGE])


def telnyx():
    from telnyx.lib.webhook_verification import verify_webhook_signature
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    def signed(body):
        raw = body if isinstance(body, str) else json.dumps(body)
        signature = base64.b64encode(key.sign(f"{NOW}|{raw}".encode())).decode()
        headers = {"telnyx-timestamp": str(NOW), "telnyx-signature-ed25519": signature}
        with mock.patch("time.time", lambda: NOW):
            verify_webhook_signature(raw, headers, public)
        return {**JSON, **headers}
    payload = {"direction": "inbound", "id": "84cca175-9755-4859-b67f-4730d7f58aa3", "type": "SMS", "text": TEXT,
               "from": {"phone_number": FROM, "carrier": "", "line_type": ""},
               "to": [{"phone_number": TO, "status": "webhook_delivered"}], "received_at": "2026-09-21T14:13:20.000+00:00"}
    event = lambda kind, payload: {"data": {"event_type": kind, "id": "e", "occurred_at": "2026-09-21T14:13:20Z",
                                            "payload": payload, "record_type": "event"}, "meta": {"attempt": 1}}
    good, report, empty = event("message.received", payload), event("message.finalized", payload), event("message.received", {})
    write("telnyx", "Ed25519 as documented, checked by telnyx 4.189.0 (PyPI), verify_webhook_signature",
          {"provider": "telnyx", "token": "KEY0123", "signing_key": public}, ["body", "time", "key"],
          [request("a text", good, signed(good), told=[told(payload["id"])])],
          [request("garbage", body, signed(body)) for body in GARBAGE if body] + [request("no message", empty, signed(empty))],
          [request("a delivery report", report, signed(report))], window=300,
          private_key=base64.b64encode(key.private_bytes_raw()).decode())


def bird():
    from messagebird.request_validator import RequestValidator
    url, key = "https://sms.example.net/sms/bird", "secureSigningKey"
    def signed(body):
        raw = body if isinstance(body, str) else json.dumps(body)
        text = f"{NOW}\n{url}\n".encode() + hashlib.sha256(raw.encode()).digest()
        signature = base64.b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest()).decode()
        return {**JSON, "messagebird-signature": signature, "messagebird-request-timestamp": str(NOW)}
    payload = {"id": "96a0b5fa-a986-453d-be5c-3117f989f025", "channelId": "614208aa-b153-4d5d-9989-2fddfc0ce4c3",
               "sender": {"contact": {"id": "c", "identifierKey": "phonenumber", "identifierValue": FROM}},
               "receiver": {"connector": {"id": "r", "identifierValue": TO}},
               "body": {"type": "text", "text": {"text": TEXT}}, "direction": "incoming", "status": "delivered",
               "createdAt": "2026-09-21T14:13:20.736Z"}
    good = {"service": "channels", "event": "sms.inbound", "payload": payload}
    sent = {"service": "channels", "event": "sms.outbound", "payload": payload}
    settings = {"provider": "bird", "token": "access", "signing_key": key, "public_url": url}
    write("bird", "HMAC as published in PHP and Go at docs.bird.com, webhooks, verifying a webhook subscription",
          {**settings, "account": "workspace", "channel": payload["channelId"]}, ["body", "url", "time", "key", "channel"],
          [request("a text", good, signed(good), told=[told(payload["id"])])],
          [request("garbage", body, signed(body)) for body in GARBAGE], [request("a report", sent, signed(sent))], window=300)

    def vouched(body, query="", **more):
        claims = {"iss": "MessageBird", "nbf": NOW - 1, "exp": NOW + 60, "jti": "59a244dc",
                  "url_hash": hashlib.sha256((url + (f"?{query}" if query else "")).encode()).hexdigest(), **more}
        if body:
            claims["payload_hash"] = hashlib.sha256(body.encode()).hexdigest()
        token = jwt.encode(claims, key, algorithm="HS256")
        with mock.patch("jwt.api_jwt.datetime") as clock:
            clock.now.return_value = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
            RequestValidator(key).validate_signature(token, url + (f"?{query}" if query else ""), body.encode())
        return {"messagebird-signature-jwt": token}
    fields = {"id": "e8077d803532c0b5937c639b60216938", "recipient": TO[1:], "originator": FROM[1:], "body": TEXT,
              "createdDatetime": "2026-09-21T14:13:20+00:00"}
    ok = [told(fields["id"])]
    query = form(fields)
    write("messagebird", "a token as documented, checked by messagebird 2.2.0 (PyPI), RequestValidator.validate_signature",
          settings, ["body", "url", "time", "key"],
          [request("as a form", form(fields), {**FORM, **vouched(form(fields))}, told=ok),
           request("as JSON", json.dumps(fields), {**JSON, **vouched(json.dumps(fields))}, told=ok),
           request("by GET", "", vouched("", query), method="GET", query=query, told=ok)],
          [request("garbage", body, {**FORM, **vouched(body)}) for body in GARBAGE if body], window=66)


def sns():
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    old = json.loads((HERE / "sns.json").read_text()) if (HERE / "sns.json").exists() else {}
    pem = old.get("private_key", "").encode()
    key = serialization.load_pem_private_key(pem, None) if pem else rsa.generate_private_key(65537, 2048)
    certificate = old.get("certificate") or self_signed(key)
    arn, region = "arn:aws:sns:eu-west-1:123456789012:texts", "https://sns.eu-west-1.amazonaws.com"
    def signed(message, version):
        keys = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        if message["Type"] == "Notification":
            keys = [k for k in keys if k not in ("SubscribeURL", "Token")]
        text = "".join(f"{k}\n{message[k]}\n" for k in keys if k in message)
        algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
        signature = key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return {**message, "SignatureVersion": version, "Signature": base64.b64encode(signature).decode(),
                "SigningCertURL": f"{region}/SimpleNotificationService-0123456789abcdef.pem"}
    inner = {"originationNumber": FROM, "destinationNumber": TO, "messageKeyword": "KEYWORD_1", "messageBody": TEXT,
             "inboundMessageId": "cae173d2-66b9-564c-8309-21f858e9fb84"}
    common = {"MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": arn, "Timestamp": "2026-09-21T14:13:20.000Z"}
    notice = {"Type": "Notification", **common, "Message": json.dumps(inner)}
    titled = {**notice, "Subject": "an SMS"}
    leave = {"Type": "UnsubscribeConfirmation", **common, "Message": "You have left", "Token": "2336",
             "SubscribeURL": f"{region}/?Action=ConfirmSubscription&TopicArn={arn}&Token=2336"}
    join = {**leave, "Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe"}
    bad = {**notice, "Message": "hello"}
    headers = {"content-type": "text/plain; charset=UTF-8"}
    ok = [told(inner["inboundMessageId"])]
    write("sns", "RSA over the canonical text of docs.aws.amazon.com (SNS, verify signatures); check_sns.mjs lets sns-validator "
          "0.3.5 (npm), Amazon's own, verify every one of them; Signature Version 4 by botocore 1.44.5",
          {"provider": "sns", "account": "AKIDEXAMPLE", "token": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "region": "eu-west-1",
           "topics": [arn], "from": TO}, ["body", "time", "topic"],
          [request("version 1", signed(notice, "1"), headers, told=ok), request("version 2", signed(notice, "2"), headers, told=ok),
           request("with a subject", signed(titled, "2"), headers, told=ok)],
          [request("no text", signed(bad, "1"), headers)], [request("an end", signed(leave, "1"), headers)],
          confirm=request("a confirmation", signed(join, "1"), headers), subscribe_url=join["SubscribeURL"], window=65 * 60,
          certificate=certificate, sigv4=sigv4(SigV4Auth, AWSRequest, Credentials),
          private_key=key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.NoEncryption()).decode())


def self_signed(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    day = lambda year: datetime.datetime(year, 1, 1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(day(2020)).not_valid_after(day(2049)).sign(key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM).decode()


def sigv4(SigV4Auth, AWSRequest, Credentials):
    body = "Action=Publish&Version=2010-03-31&PhoneNumber=%2B447700900001&Message=Hello"
    one = AWSRequest("POST", "https://sns.eu-west-1.amazonaws.com/", data=body,
                     headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
    with mock.patch("botocore.auth.get_current_datetime", lambda *a, **k: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)):
        SigV4Auth(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), "sns", "eu-west-1").add_auth(one)
    return {"body": body, "date": one.headers["X-Amz-Date"], "authorization": one.headers["Authorization"]}


# --- without a signature: requests as documented, behind a secret --------------------------------------------------------

def unsigned():
    basic = {**JSON, "authorization": "Basic " + base64.b64encode(b"ringback:open sesame").decode()}
    login = {"user": "ringback", "password": "open sesame"}
    behind = {"path_secret": PATH_SECRET}
    def hidden(*args, **kwargs):
        return request(*args, secret=PATH_SECRET, **kwargs)

    sinch = {"type": "mo_text", "id": "01XXXXX21XXXXX119Z8P1XXXXX", "from": FROM[1:], "to": TO[1:], "body": TEXT,
             "operator_id": "string", "received_at": "2026-09-21T14:13:20.123Z"}
    report = {"type": "recipient_delivery_report_sms", "batch_id": "b"}
    keys = {"provider": "sinch", "account": "plan", "token": "apitoken"}
    source = "request as documented at developers.sinch.com, SMS, incoming SMS"
    ok = [told(sinch["id"])]
    write("sinch", source, {**keys, **login}, ["basic"], [request("a text", sinch, basic, told=ok)],
          [request("garbage", body, basic) for body in GARBAGE], [request("a report", report, basic)])
    write("sinch-path", source, {**keys, **behind}, ["path"], [hidden("a text", sinch, JSON, told=ok)],
          [hidden("garbage", body, JSON) for body in GARBAGE], [hidden("a report", report, JSON)])

    result = lambda number, text=TEXT: {"messageId": f"81788671726113695{number}", "from": FROM[1:], "to": TO[1:], "text": text,
        "cleanText": text, "keyword": "", "receivedAt": "2026-09-21T14:13:20.220+0000", "smsCount": 1, "price": {"currency": "EUR"}}
    posted = lambda results: {"results": results, "messageCount": len(results), "pendingMessageCount": 0}
    keys = {"provider": "infobip", "token": "key", "api_base": "https://example.api.infobip.com"}
    source = "request as documented at infobip.com, SMS, receive inbound messages"
    several = [result(1), result(2, "bal"), result(3)]
    many = [told(r["messageId"], r["text"]) for r in several]
    write("infobip", source, {**keys, **login}, ["basic"],
          [request("a text", posted([result(1)]), basic, told=many[:1]), request("several", posted(several), basic, told=many)],
          [request("garbage", body, basic) for body in GARBAGE], [request("none", posted([]), basic)])
    write("infobip-path", source, {**keys, **behind}, ["path"], [hidden("a text", posted([result(1)]), JSON, told=many[:1])],
          [hidden("garbage", body, JSON) for body in GARBAGE], [hidden("none", posted([]), JSON)])

    at = {"from": FROM, "to": TO, "text": TEXT, "date": "2026-09-21 14:13:20", "id": "8be1a1ac-3bc8-4f9c-8a1a-5cc7b4d7b8a9",
          "linkId": "SampleLinkId123", "cost": "KES 0.8000", "networkCode": "63902"}
    write("africastalking", "request as documented at developers.africastalking.com, SMS, incoming messages",
          {"provider": "africastalking", "account": "sandbox", "token": "key", **behind}, ["path"],
          [hidden("a text", form(at), FORM, told=[told(at["id"])])], [hidden("garbage", body, FORM) for body in GARBAGE])

    kannel = {"from": FROM[1:], "to": "777", "text": TEXT, "time": str(NOW), "id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
              "smsc": "FAKE", "coding": "0", "charset": "UTF-8", "udh": ""}
    wide = "text=" + "".join(f"%{b:02x}" for b in TEXT.encode("utf-16-be"))
    utf16 = form({k: v for k, v in kannel.items() if k not in ("text", "charset")}) + "&charset=UTF-16BE&" + wide
    ok = [told(kannel["id"], sender=FROM[1:], to="777")]
    settings = {"provider": "kannel", "account": "tester", "token": "foobar", "api_base": "http://127.0.0.1:13013", **behind}
    source = "request as Kannel 1.4.5's smsbox makes it (get-url with %p %P %b %t %I %i %c %C %u)"
    write("kannel", source, settings, ["path"],
          [request("secret in the path", method="GET", query=form(kannel), secret=PATH_SECRET, told=ok),
           request("in UTF-16", method="GET", query=utf16, secret=PATH_SECRET, told=ok)],
          [request("garbage", method="GET", query=q, secret=PATH_SECRET) for q in ["", "%", "text=%ff&id=1&from=2", "text=a"]])
    write("kannel-query", source, settings, ["query"],
          [request("secret in the query", method="GET", query=form({**kannel, "secret": PATH_SECRET}), told=ok)])

    coded = lambda body, coding, number: form({"id": f"jasmin-{number}", "from": FROM[1:], "to": "777", "origin-connector": "sim",
        "priority": "1", "validity": ""}) + f"&content={urllib.parse.quote_from_bytes(body)}&binary={body.hex()}&coding=%{coding:02x}"
    was = lambda number: [told(f"jasmin-{number}", sender=FROM[1:], to="777")]
    write("jasmin", "request as Jasmin 0.11.1's deliverSmThrower posts it (content, binary in hex, coding as one raw byte)",
          {"provider": "jasmin", "account": "foo", "token": "bar", "api_base": "http://127.0.0.1:1401", **behind}, ["path"],
          [hidden("the default alphabet", coded(TEXT.encode(), 0, 1), FORM, told=was(1)),
           hidden("UCS-2", coded(TEXT.encode("utf-16-be"), 8, 2), FORM, told=was(2)),
           hidden("Latin-1", coded(TEXT.encode(), 3, 3), FORM, told=was(3))],
          [hidden("garbage", body, FORM) for body in GARBAGE]
          + [hidden("no hex", "id=1&from=2&binary=xyz&coding=%00", FORM), hidden("half", coded(b"\x00a\x00", 8, 4), FORM)])

    secret = "shared secret"
    def signed(body):
        raw = body if isinstance(body, str) else json.dumps(body)
        return {**JSON, "x-ringback-signature": "sha256=" + hmac.new(secret.encode(), raw.encode(), hashlib.sha256).hexdigest()}
    generic = {"id": "m-1", "from": FROM, "to": TO, "text": TEXT, "received_at": "2026-09-21T14:13:20Z"}
    write("generic", "our own scheme, by Python's hmac", {"provider": "generic", "signing_key": secret,
          "api_base": "http://127.0.0.1/replies"}, ["body", "key"],
          [request("a text", generic, signed(generic), told=[told("m-1")])],
          [request("garbage", body, signed(body)) for body in GARBAGE])


for make in (twilio, vonage, vonage_messages, plivo, telnyx, bird, sns, unsigned):
    make()
print("made", len(list(HERE.glob("*.json"))), "files")
