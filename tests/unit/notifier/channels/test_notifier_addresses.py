"""Where deliveries may go: every special range and every spelling of the own machine is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.channels.webhook.domain.addresses import (
    ANY_PORT,
    Blocked,
    EgressPolicy,
    egress_policy,
    vet,
)
from services.notifier.channels.webhook.service.urls import endpoint_url
from shared.pure.refusal import Refusal

PUBLIC_ONLY = EgressPolicy()
INTERNAL = egress_policy(
    ["10.20.0.0/16", "127.0.0.0/8", "fd12:3456::/32"], ["tickets.internal"], ["443", "8000-8999"]
)
EVERYWHERE = egress_policy(["0.0.0.0/0", "::/0"], ["metadata.internal"], ["1-65535"])

SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::127.0.0.1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:0:7f00:1",
    "::5efe:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1:ffff::1",
    "100::1",
    "100:0:0:1::1",
    "200::1",
    "2001::1",
    "2001:1::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2620:4f:8000::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
NOT_CANONICAL = [
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "00.0.0.0",
    "127.0.0.01",
    "localhost",
    "1.2.3.4.5",
    "[::1]",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.20.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00::1",
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::ffff:0:a9fe:a9fe",
]


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_refused(address):
    with pytest.raises(Blocked):
        vet(address, PUBLIC_ONLY)


@pytest.mark.parametrize("spelling", NOT_CANONICAL)
def test_other_spellings_of_an_address_are_refused(spelling):
    with pytest.raises(Blocked, match="canonical"):
        vet(spelling, EVERYWHERE)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address):
    assert str(vet(address, PUBLIC_ONLY)) == address


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("host", ["", "metadata.internal"])
def test_metadata_services_are_refused_whatever_the_allow_list_says(address, host):
    with pytest.raises(Blocked) as blocked:
        vet(address, EVERYWHERE, host=host)
    assert blocked.value.reason == "metadata_address"


def test_allowed_networks_and_hosts_reach_inside():
    assert vet("10.20.3.4", INTERNAL)
    assert vet("::ffff:10.20.3.4", INTERNAL)
    assert vet("fd12:3456::9", INTERNAL)
    assert vet("192.168.7.7", INTERNAL, host="Tickets.Internal.")


def test_an_allowed_host_opens_no_other_host():
    with pytest.raises(Blocked):
        vet("192.168.7.7", INTERNAL, host="evil.tickets.internal")


def test_plain_http_only_reaches_allowed_targets():
    assert vet("10.20.3.4", INTERNAL, encrypted=False)
    with pytest.raises(Blocked) as blocked:
        vet("8.8.8.8", INTERNAL, encrypted=False)
    assert blocked.value.reason == "http_not_allowed"


@settings(max_examples=200)
@given(
    st.ip_addresses(v=4, network="10.0.0.0/8"), st.sampled_from(["::ffff:{}", "::{}", "64:ff9b::{}", "{}"])
)
def test_no_embedding_of_a_private_address_is_public(address, form):
    with pytest.raises(Blocked):
        vet(form.format(address), PUBLIC_ONLY)


@pytest.mark.parametrize("text", ["0", "65536", "9-8", "x", "", "1-70000"])
def test_a_bad_port_range_is_refused_at_start_up(text):
    with pytest.raises(ValueError):
        egress_policy([], [], [text])


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("https://tickets.example.gov/hook", "https://tickets.example.gov/hook"),
        ("HTTPS://Tickets.Example.GOV./hook", "https://tickets.example.gov/hook"),
        ("https://tickets.example.gov", "https://tickets.example.gov/"),
        ("https://tickets.example.gov:443/a?b=c&d=%20e", "https://tickets.example.gov/a?b=c&d=%20e"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[2606:4700:0::1111]/x", "https://[2606:4700::1111]/x"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://under_score.example/", "https://under_score.example/"),
    ],
)
def test_a_good_url_is_stored_in_one_form(written, stored):
    assert endpoint_url(written, PUBLIC_ONLY) == stored


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://tickets.example.gov/hook", "port_not_allowed"),
        ("http://tickets.example.gov:443/hook", "http_not_allowed"),
        ("ftp://tickets.example.gov/", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
        ("//tickets.example.gov/", "bad_url"),
        ("https:///hook", "bad_url"),
        ("https://", "bad_url"),
        ("tickets.example.gov", "bad_url"),
        ("https://user:pw@tickets.example.gov/", "bad_url"),
        ("https://example.com\\@127.0.0.1/", "bad_url"),
        ("https://example.com/#fragment", "bad_url"),
        ("https://example.com/a b", "bad_url"),
        ("https://example.com/\r\nX: y", "bad_url"),
        ("https://exam\tple.com/", "bad_url"),
        ("https://example.com/\x00", "bad_url"),
        ("https://example.com:0/", "port_not_allowed"),
        ("https://example.com:70000/", "bad_url"),
        ("https://example.com:22/", "port_not_allowed"),
        ("https://example.com:x/", "bad_url"),
        ("https://[::1/", "bad_url"),
        ("https://" + "a" * 2050, "bad_url"),
        ("https://-bad.example/", "bad_host"),
        ("https://a..b/", "bad_host"),
        ("https://./", "bad_host"),
        ("https://ex%61mple.com/", "bad_host"),
        ("https://" + "a" * 64 + ".example/", "bad_host"),
        ("https://127.0.0.1/", "address_not_public"),
        ("https://[::1]/", "address_not_public"),
        ("https://[::ffff:7f00:1]/", "address_not_public"),
        ("https://[64:ff9b::7f00:1]/", "address_not_public"),
        ("https://[fe80::1%25eth0]/", "scoped_address"),
        ("https://169.254.169.254/latest", "metadata_address"),
        ("https://2130706433/", "not_an_address"),
        ("https://0x7f000001/", "not_an_address"),
        ("https://0x7f.1/", "not_an_address"),
        ("https://0177.0.0.1/", "not_an_address"),
        ("https://127.1/", "not_an_address"),
        ("https://0/", "not_an_address"),
        ("https://1.2.3.4.5/", "not_an_address"),
        ("https://foo.0x1/", "not_an_address"),
        ("https://①②⑦.⓪.⓪.①/", "address_not_public"),
        ("https://１２７.０.０.１/", "address_not_public"),
        ("https://127。0。0。1/", "address_not_public"),
    ],
)
def test_a_bad_url_is_refused_with_its_reason(url, code):
    with pytest.raises(Refusal) as refused:
        endpoint_url(url, PUBLIC_ONLY)
    assert (refused.value.code, refused.value.pointer) == (code, "/url")


def test_plain_http_is_accepted_for_allowed_targets_only():
    assert endpoint_url("http://127.0.0.1:8080/x", INTERNAL) == "http://127.0.0.1:8080/x"
    assert endpoint_url("http://tickets.internal:8080/", INTERNAL) == "http://tickets.internal:8080/"
    with pytest.raises(Refusal, match=r"8\.8\.8\.8"):
        endpoint_url("http://8.8.8.8:8080/x", INTERNAL)


def test_a_stored_url_is_its_own_canonical_form():
    anywhere = EgressPolicy(ports=(ANY_PORT,))
    once = endpoint_url("https://Bücher.example:8443/a%2Fb/ä?q=ö&r=1", anywhere)
    assert endpoint_url(once, anywhere) == once
