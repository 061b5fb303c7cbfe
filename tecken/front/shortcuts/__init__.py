"""Answers to usual requests without Django.

When this process has everything that a request needs, the way through Django's handler takes longer than the
answer itself. So the event loop answers such a request at once, with the functions that the view, its
decorators and the middleware call.

The view remains the implementation of each endpoint. A request that needs anything else, or has anything
unusual, gets no answer here and is left to its view, errors included. The tests compare the responses of both
byte by byte.

    symbolication   warm symbolication requests
    downloads       files that are nowhere, and small ones that were read a moment ago
    facts           what redis-cache knows about files, for all downloads that wait
    middleware      what the middleware checks and adds, for all of them
"""
