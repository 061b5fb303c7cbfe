"""Accounts: who sends a request, and what the sender may do.

A program identifies itself with a token, a person with a session. Sessions begin with a password or at an
OpenID provider. Staff also get a signed cookie, with which they can use the site during maintenance.

Main modules:

* `tokens`: issues tokens, finds the token of a header, and returns what it permits now.
* `sessions`: the user of a session cookie.
* `tokens.TokenOwners`: the owner of a token, for counting only.
* `addresses`: the address behind trusted proxies; bounds the attempts with unknown tokens.

What must never happen:

* The key of a token is stored, logged or shown a second time. The database has its digest only.
* A token permits more than its owner may do at that moment.
* A client chooses its own address. Only entries of trusted proxies count.
* The owner that `token_owners` returns decides about access. It may be 30 seconds old.
"""
