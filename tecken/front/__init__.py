"""The HTTP front: asyncio reads requests and writes responses, Django's handlers run in threads behind it.

A handler thread must never wait for a client: a few slow ones would stop the site. So the front reads the
whole body before a handler starts (into memory when it is small, else into an unnamed file), and writes the
response after the handler has returned it. Every wait for a client has a deadline and a minimum rate
(`config`); a client that misses one is disconnected.

    protocol     DeadlineProtocol: one connection, uvicorn's HTTP/1.1 protocol with the deadlines
    application  Front: one request from its headers to the end of its response; warm_up
    shortcuts    warm symbolication requests and known downloads, answered by the event loop without Django
    bodies       Body: a request body while it is read, and the check that a large one must pass before;
                 the bytes of a response, piece by piece
    dispatcher   Dispatcher: the order of requests and the threads that run them
    bridge       ASGI scope -> WSGI environment -> Response
    config       the deadlines and other limits, and the settings of uvicorn
    __main__     the web processes and the listening socket

HTTP/2 is not offered: a browser or a symbol client gains nothing from it here, and a proxy can add it.
"""
