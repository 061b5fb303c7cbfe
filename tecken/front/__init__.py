"""The HTTP front: asyncio reads requests and writes responses, Django's handlers run in threads behind it.

A handler thread must never wait for a client. So the front reads the whole body before a handler starts
(into memory when it is small, else into an unnamed file), and writes the response after the handler has
returned it. Every wait for a client has a deadline and a minimum rate (`deadlines`); a client that misses one
is disconnected.

    protocol     one connection: uvicorn's HTTP/1.1 protocol plus the deadlines
    application  one request: body, handler thread, response
    admission    whether a large body may be read at all: its limit and the caller's permission
    body         the body while it is read, and the spool file
    dispatcher   which request runs next in which thread
    bridge       ASGI scope -> WSGI environment -> response
    __main__     processes and the listening socket

HTTP/2 is not offered: a browser or a symbol client gains nothing from it here, and a proxy can add it.
"""
