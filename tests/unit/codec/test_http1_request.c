/* SPDX-License-Identifier: Apache-2.0 */
/* http1, server side: requests to events, whole, byte by byte and at random splits. */
#include "tests/unit/codec/t_http1.h"

#define H "Host: h\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_HEAD "head POST http h / len=-1 | transfer-encoding=chunked;\n"
#define BAD "fault 400 http1.codec_error\n"
#define CHARACTERS "fault 400 http1.invalid_characters\n"

enum { ANSWER = 1, HTTP10 = 2, ABSOLUTE = 4, TRAILERS = 8, BOTH = 16, REJECT_ = 32, DROP_ = 64,
	SMALL = 128,
       DEFAULT_HOST = 256 };

static const struct {
	const char *name, *in, *want;
	int how;
} cases[] = {
	{ "get", GET H "\r\n", "head GET http h / len=0 end |\n", 0 },
	{ "names are lower-cased, values trimmed",
	  "GET /a?b=c HTTP/1.1\r\nHOST: H.Test:80\r\nX-Aa: \t v v\t \r\nAccept:*/*\r\n"
	  "x-e:\r\n\r\n",
	  "head GET http H.Test:80 /a?b=c len=0 end | x-aa=v v; accept=*/*; x-e=;\n", 0 },
	{ "length", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
	  "head POST http h / len=5 | content-length=5;\nbody hello\nend\n", 0 },
	{ "length 0", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",
	  "head POST http h / len=0 end | content-length=0;\n", 0 },
	{ "chunked", CHUNKED "5\r\nhello\r\n00a\r\n0123456789\r\n0\r\n\r\n", CHUNKED_HEAD
	  "body hello0123456789\nend\n", 0 },
	{ "chunk extensions", CHUNKED "5;a=b;c=\"d\\\"\";e\r\nhello\r\n0; last\r\n\r\n",
	  CHUNKED_HEAD "body hello\nend\n", 0 },
	{ "trailers are dropped", CHUNKED "0\r\nX-T: 1\r\n\r\n", CHUNKED_HEAD "end\n", 0 },
	{ "trailers are kept", CHUNKED "1\r\na\r\n0\r\nX-T: 1\r\nx-u:\r\nConnection: x\r\n\r\n",
	  CHUNKED_HEAD "body a\nend x-t=1; x-u=;\n", TRAILERS },
	{ "pipeline waits", GET H "\r\n" GET H "\r\n", "head GET http h / len=0 end |\nunread 27\n",
	  0 },
	{ "pipeline", GET H "\r\nPOST /2 HTTP/1.1\r\n" H "content-length: 3\r\n\r\nabc" GET H
	  "\r\n",
	"head GET http h / len=0 end |\n"
	  "head POST http h /2 len=3 | content-length=3;\nbody abc\nend\n"
	  "head GET http h / len=0 end |\n", ANSWER },
	{ "nothing is read behind the last request", GET H "connection: x, Close\r\n\r\n" GET H
	  "\r\n",
	  "head GET http h / len=0 end close | connection=x, Close;\nunread 27\n", ANSWER },
	{ "proxy-connection: close", GET H "Proxy-Connection: close\r\n\r\n",
	  "head GET http h / len=0 end close | proxy-connection=close;\n", 0 },
	{ "empty lines before a request", "\r\n\r\n" GET H "\r\n\r\n" GET H "\r\n",
	  "head GET http h / len=0 end |\nhead GET http h / len=0 end |\n", ANSWER },
	{ "expect in http/1.0", "POST / HTTP/1.0\r\n" H
	  "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	"head POST http h / len=1 close | expect=100-continue; content-length=1;\n" "body x\nend\n",
	  HTTP10 },
	{ "expect", "POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
	"head POST http h / len=1 expect | expect=100-Continue; content-length=1;\n"
	  "body x\nend\n", 0 },
	{ "upgrade holds what follows", GET H
	  "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
	"head GET http h / len=0 upgrade | connection=keep-alive, Upgrade; "
	  "upgrade=websocket;\nunread 5\n", ANSWER },
	{ "upgrade without connection", GET H "Upgrade: websocket\r\n\r\n",
	  "head GET http h / len=0 end | upgrade=websocket;\n", 0 },
	{ "upgrade with a body is none", "POST / HTTP/1.1\r\n" H
	  "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na",
	"head POST http h / len=1 | connection=Upgrade; upgrade=x; content-length="
	  "1;\nbody a\nend\n", 0 },
	{ "h2c is not taken", GET H
	  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
	  "head GET http h / len=0 end | connection=Upgrade, HTTP2-Settings;\n", 0 },
	{ "connect", "CONNECT h.test:443 HTTP/1.1\r\nHost: other\r\n\r\nbytes",
	  "head CONNECT http h.test:443  len=0 upgrade |\nunread 5\n", 0 },
	{ "connect ipv6", "CONNECT [::1]:443 HTTP/1.1\r\nHost: other\r\n\r\n",
	  "head CONNECT http [::1]:443  len=0 upgrade |\n", 0 },
	{ "connect without port", "CONNECT h HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", 0 },
	{ "connect a path", "CONNECT / HTTP/1.1\r\n" H "\r\n", "fault 400 http1.invalid_url\n", 0 },
	{ "connect with a body", "CONNECT h:1 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc",
	  "fault 400 http1.body_disallowed\n", 0 },
	{ "connect chunked", "CONNECT h:1 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "absolute", "GET http://o.test/p?q HTTP/1.1\r\n" H "\r\n",
	  "head GET http o.test /p?q len=0 end |\n", ABSOLUTE },
	{ "absolute without host", "GET HTTPS://u:p@o.test:8080 HTTP/1.1\r\n\r\n",
	  "head GET https o.test:8080 / len=0 end |\n", ABSOLUTE },
	{ "absolute, query only", "GET http://o.test?a=b HTTP/1.1\r\n" H "\r\n",
	  "head GET http o.test ?a=b len=0 end |\n", ABSOLUTE },
	{ "absolute ftp", "GET ftp://o.test/ HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_scheme\n", ABSOLUTE },
	{ "absolute not allowed: not for the codec", "GET http://o.test/ HTTP/1.1\r\n" H "\r\n",
	  "head GET http h http://o.test/ len=0 end |\n", 0 },
	{ "connection names who the client is",
	  "GET / HTTP/1.1\r\n" H "Connection: a, X-Forwarded-For\r\n\r\n",
	  "fault 400 http1.connection_header_rejected\n", 0 },
	{ "connection names a pseudo header", "GET / HTTP/1.1\r\n" H "Connection: :path\r\n\r\n",
	  "fault 400 http1.connection_header_rejected\n", 0 },
	{ "connection names ten", "GET / HTTP/1.1\r\n" H "Connection: a,b,c,d,e,\r\n"
	  "Connection: f,g,h,i,j\r\n\r\n", "fault 400 http1.connection_header_rejected\n", 0 },
	{ "absolute, bare IPv6", "GET http://::1/ HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", ABSOLUTE },
	{ "absolute, open bracket", "GET http://[::1/ HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", ABSOLUTE },
	{ "absolute, underscore", "GET http://a_b/ HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", ABSOLUTE },
	{ "absolute, two users", "GET http://a@b@c/ HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", ABSOLUTE },
	{ "absolute, IPv6 and a user", "GET http://u:p@[::1]:80/ HTTP/1.1\r\n" H "\r\n",
	  "head GET http [::1]:80 / len=0 end |\n", ABSOLUTE },
	{ "absolute, bad port", "GET http://o.test:99999/ HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", ABSOLUTE },
	{ "absolute, port word", "GET http://o.test:abc/ HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", ABSOLUTE },
	{ "absolute without authority", "GET http:///x HTTP/1.1\r\n" H "\r\n",
	  "fault 400 http1.invalid_url\n", ABSOLUTE },
	{ "asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "head OPTIONS http h * len=0 end |\n", 0 },
	{ "asterisk for get", "GET * HTTP/1.1\r\n" H "\r\n", "fault 400 http1.invalid_url\n",
	  ABSOLUTE },
	{ "relative", "GET a/b HTTP/1.1\r\n" H "\r\n", BAD, ABSOLUTE },
	{ "odd characters in a path", "GET /a|b^c`d{e}f\"g<h>i\\j HTTP/1.1\r\n" H "\r\n",
	  "head GET http h /a|b^c`d{e}f\"g<h>i\\j len=0 end |\n", 0 },
	{ "fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", "fault 400 path_normalization_failed\n", 0
	  },
	{ "http/1.0 refused", "GET / HTTP/1.0\r\n" H "\r\n", "fault 426 low_version\n", 0 },
	{ "http/1.0", "GET / HTTP/1.0\r\n" H "\r\n", "head GET http h / len=0 end close |\n", HTTP10
	  },
	{ "http/1.0 keep-alive", "GET / HTTP/1.0\r\n" H "Connection: Keep-Alive\r\n\r\n",
	  "head GET http h / len=0 end | connection=Keep-Alive;\n", HTTP10 },
	{ "http/1.0 default host", "GET / HTTP/1.0\r\n\r\n",
	  "head GET http d.test / len=0 end close |\n", HTTP10 | DEFAULT_HOST },
	{ "http/1.0 no host", "GET / HTTP/1.0\r\n\r\n", "fault 400 missing_host_header\n", HTTP10 },
	{ "http/1.0 chunked closes", "POST / HTTP/1.0\r\n" H
	  "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
	"head POST http h / len=-1 close | connection=keep-alive; transfer-encodin"
	  "g=chunked;\nbody a\nend\n", HTTP10 },
	{ "both lengths allowed", "POST / HTTP/1.1\r\n" H
	  "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
	  "head POST http h / len=-1 close | transfer-encoding=chunked;\nbody a\nend\n", BOTH },
	{ "underscores", GET H "x_a: 1\r\n\r\n", "head GET http h / len=0 end | x_a=1;\n", 0 },
	{ "underscores dropped", GET H "x_a: 1\r\nx-b: 1\r\n\r\n",
	  "head GET http h / len=0 end | x-b=1;\n", DROP_ },
	{ "underscores rejected", GET H "x_a: 1\r\n\r\n", "fault 400 http1.unexpected_underscore\n",
	  REJECT_ },
	{ "high bytes in a value", GET H "x: \xe4\xff\r\n\r\n",
	  "head GET http h / len=0 end | x=\xe4\xff;\n", 0 },
	{ "a tab in a value", GET H "x: a\tb\r\n\r\n", "head GET http h / len=0 end | x=a\tb;\n", 0
	  },

	/* framing: nothing that two parties could read differently */
	{ "both lengths", "POST / HTTP/1.1\r\n" H
	  "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
	  "fault 400 http1.content_length_and_chunked_not_allowed\n", 0 },
	{ "both lengths, the other way", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
	  "fault 400 http1.content_length_and_chunked_not_allowed\n", 0 },
	{ "two lengths", "POST / HTTP/1.1\r\n" H
	  "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", BAD, 0 },
	{ "two equal lengths", "POST / HTTP/1.1\r\n" H
	  "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", BAD, 0 },
	{ "length list", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc", BAD, 0 },
	{ "length +", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc", BAD, 0 },
	{ "length -", "POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc", BAD, 0 },
	{ "length hex", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc", BAD, 0 },
	{ "length empty", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", BAD, 0 },
	{ "length with blank", "POST / HTTP/1.1\r\n" H "Content-Length: 1 0\r\n\r\nabc", BAD, 0 },
	{ "length word", "POST / HTTP/1.1\r\n" H "Content-Length: abc\r\n\r\nabc", BAD, 0 },
	{ "length over 64 bits", "POST / HTTP/1.1\r\n" H
	  "Content-Length: 18446744073709551621\r\n\r\nabcde", BAD, 0 },
	{ "length too many digits", "POST / HTTP/1.1\r\n" H
	  "Content-Length: 0000000000000000000000005\r\n\r\nabcde", BAD, 0 },
	{ "te gzip", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te gzip, chunked", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te chunked, chunked", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te twice", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te identity and a length", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
	  "fault 400 http1.content_length_and_chunked_not_allowed\n", 0 },
	{ "te xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te chunked;q", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te with vertical tab", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	  "chunked\r\n\r\n0\r\n\r\n", CHARACTERS, 0 },
	{ "te empty", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n",
	  "fault 501 http1.invalid_transfer_encoding\n", 0 },
	{ "te with space before colon", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", BAD, 0 },
	{ "obs-fold", GET H "x: a\r\n b\r\n\r\n", BAD, 0 },
	{ "obs-fold with tab", GET H "x: a\r\n\tb\r\n\r\n", BAD, 0 },
	{ "folded first header", GET " Host: h\r\n\r\n", BAD, 0 },
	{ "obs-fold te", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	  BAD, 0 },
	{ "bare CR in a value", GET H "x: a\rb\r\n\r\n", BAD, 0 },
	{ "bare CR as line end", "GET / HTTP/1.1\rHost: h\r\r", BAD, 0 },
	{ "bare CR between headers", GET H "x: a\rContent-Length: 5\r\n\r\n", BAD, 0 },
	{ "bare LF after the first line", "GET / HTTP/1.1\nHost: h\r\n\r\n", BAD, 0 },
	{ "bare LF after a header", GET "Host: h\n\r\n", BAD, 0 },
	{ "bare LF at the end", GET "Host: h\r\n\n", BAD, 0 },
	{ "CR CR LF", GET "Host: h\r\r\n\r\n", BAD, 0 },
	{ "LF before a request", "\n" GET H "\r\n", BAD, 0 },
	{ "CR before a request", "\r" GET H "\r\n", BAD, 0 },
		{ "control character in a value", GET H "x: a\x01\r\n\r\n", CHARACTERS, 0 },
	{ "DEL in a value", GET H "x: a\x7f\r\n\r\n", CHARACTERS, 0 },
	{ "control character in the url", "GET /\x01 HTTP/1.1\r\n" H "\r\n", CHARACTERS, 0 },
	{ "tab in the url", "GET /\ta HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "blank in the url", "GET /a b HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "two blanks before the version", "GET /  HTTP/1.1\r\n" H "\r\n",
	  "head GET http h / len=0 end |\n", 0 },
	{ "two blanks behind the method", "GET  / HTTP/1.1\r\n" H "\r\n",
	  "head GET http h / len=0 end |\n", 0 },
	{ "tab behind the method", "GET\t/ HTTP/1.1\r\n" H "\r\n",
	  "head GET http h / len=0 end |\n", 0 },
	{ "blank behind the version", "GET / HTTP/1.1 \r\n" H "\r\n",
	  "head GET http h / len=0 end |\n", 0 },
	{ "blank before the method", " GET / HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "blank before colon", GET H "x : a\r\n\r\n", BAD, 0 },
	{ "tab before colon", GET H "x\t: a\r\n\r\n", BAD, 0 },
	{ "blank in a name", GET H "x y: a\r\n\r\n", BAD, 0 },
	{ "empty name", GET H ": a\r\n\r\n", BAD, 0 },
	{ "no colon", GET H "x\r\n\r\n", BAD, 0 },
	{ "bad name character", GET H "x(: a\r\n\r\n", BAD, 0 },
	{ "high byte in a name", GET H "x\xe4: a\r\n\r\n", BAD, 0 },
	{ "high byte in the url", "GET /\xe4 HTTP/1.1\r\n" H "\r\n",
	  BAD, 0 },
	{ "no target", "GET HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "version 0.9", "GET /\r\n\r\n", BAD, 0 },
	{ "version 0.9 accepted", "GET /\r\n\r\n", "head GET http d.test / len=0 end close |\n",
	  HTTP10 | DEFAULT_HOST },
	{ "version 0.9 post", "POST /\r\n\r\n", BAD, HTTP10 },
	{ "version 1.9", "GET / HTTP/1.9\r\n" H "\r\n", BAD, 0 },
	{ "version 1.2", "GET / HTTP/1.2\r\n" H "\r\n", BAD, 0 },
	{ "version 2.0", "GET / HTTP/2.0\r\n" H "\r\n", BAD, 0 },
	{ "version 1.10", "GET / HTTP/1.10\r\n" H "\r\n", BAD, 0 },
	{ "version 01.1", "GET / HTTP/01.1\r\n" H "\r\n", BAD, 0 },
	{ "version lower case", "GET / http/1.1\r\n" H "\r\n", BAD, 0 },
	{ "version of rtsp", "GET / RTSP/1.0\r\n" H "\r\n", BAD, 0 },
	{ "method of rtsp", "DESCRIBE / HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "preface of http/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD, 0 },
	{ "unknown method", "CUSTOM / HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "lower-case method", "get / HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "method character", "G!T / HTTP/1.1\r\n" H "\r\n", BAD, 0 },
	{ "garbage", "BAD\r\n\r\n", BAD, 0 },
	{ "tls", "\x16\x03\x01\x02\x00\x01", CHARACTERS, 0 },
	{ "no host", GET "\r\n", "fault 400 missing_host_header\n", 0 },
	{ "two hosts", GET H H "\r\n", BAD, 0 },
	{ "bad host", GET "Host: a b\r\n\r\n", "fault 400 http.invalid_authority\n", 0 },
	{ "host with a path", GET "Host: a/b\r\n\r\n", "fault 400 http.invalid_authority\n", 0 },
	{ "too many headers", GET H "a:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\n\r\n",
	  "fault 431 http1.too_many_headers E2BIG\n", SMALL },
	{ "too large", GET H "a:11111111111111111111111111111111111111111111111111\r\nb:1\r\n\r\n",
	  "fault 431 http1.headers_too_large E2BIG\n", SMALL },
	{ "too large without line end",
	  "GET /11111111111111111111111111111111111111111111111111111111111111111111111111111",
	  "fault 431 http1.headers_too_large E2BIG\n", SMALL },
	{ "trailers count too", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding:chunked\r\n\r\n0\r\na:1\r\nb:1\r\nc:1\r\nd:1\r\n\r\n",
	  CHUNKED_HEAD "fault 431 http1.too_many_headers E2BIG\n", SMALL },
	{ "trailers have the head's limit", "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding:chunked\r\n\r\n0\r\na:11111111111111111111111\r\n\r\n",
	  CHUNKED_HEAD "fault 431 http1.headers_too_large E2BIG\n", SMALL },

	/* chunks */
	{ "chunk size empty", CHUNKED "\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size -", CHUNKED "-1\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size +", CHUNKED "+1\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size 0x", CHUNKED "0x1\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size g", CHUNKED "g\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size blank before", CHUNKED " 1\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size blank behind", CHUNKED "1 \r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size over 64 bits", CHUNKED "10000000000000001\r\na\r\n0\r\n\r\n", CHUNKED_HEAD
	  BAD, 0 },
	{ "chunk size 64 bits", CHUNKED "ffffffffffffffff\r\na\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size LF", CHUNKED "1\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk size CR only", CHUNKED "1\ra\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk data without CRLF", CHUNKED "1\r\nab\r\n0\r\n\r\n", CHUNKED_HEAD "body a\n" BAD, 0
	  },
	{ "chunk data with LF", CHUNKED "1\r\na\n0\r\n\r\n", CHUNKED_HEAD "body a\n" BAD, 0 },
	{ "chunk data with CR", CHUNKED "1\r\na\r0\r\n\r\n", CHUNKED_HEAD "body a\n" BAD, 0 },
	{ "last chunk with LF", CHUNKED "0\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "end with LF", CHUNKED "0\r\n\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk extension with LF", CHUNKED "1;a\nb\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk extension with CR", CHUNKED "1;a\rb\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk extension control", CHUNKED "1;a=\"\x01\"\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0
	  },
	{ "chunk extension empty", CHUNKED "1;\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk extension no value", CHUNKED "1;a=\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "chunk extension open quote", CHUNKED "1;a=\"b\r\na\r\n0\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "trailer folded", CHUNKED "0\r\na: b\r\n c\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "trailer without colon", CHUNKED "0\r\nab\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "trailer with LF", CHUNKED "0\r\na: b\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "trailer with bad name", CHUNKED "0\r\na b: b\r\n\r\n", CHUNKED_HEAD BAD, 0 },
	{ "garbage behind a length body", "POST / HTTP/1.1\r\n" H
	  "Content-Length: 1\r\n\r\nab\r\n\r\n",
	  "head POST http h / len=1 | content-length=1;\nbody a\nend\n" BAD, ANSWER },
};

static void run(size_t i, size_t piece)
{
	struct codec_limits limits = { .head_bytes = cases[i].how & SMALL ? 76 : 0, .props =
	  cases[i].how & SMALL ? 5 : 0 };
	struct codec_opts opts = {
		.accept_http10 = cases[i].how & HTTP10,
		.allow_absolute_url = cases[i].how & ABSOLUTE,
		.enable_trailers = cases[i].how & TRAILERS,
		.allow_chunked_length = cases[i].how & BOTH,
		.reject_underscores = cases[i].how & REJECT_,
		.drop_underscores = cases[i].how & DROP_,
		.default_host = cases[i].how & DEFAULT_HOST ? SLICE("d.test") : SLICE_NONE,
	};
	struct t_peer t;

	t_open(&t, CODEC_SERVER, &limits, &opts);
	t.answer = cases[i].how & ANSWER;
	t_feed(&t, slice_str(cases[i].in), piece);
	if (strcmp(t_text(&t.log), cases[i].want)) {
		print_error("case \"%s\", pieces of %zu:\n", cases[i].name, piece);
		assert_string_equal(t_text(&t.log), cases[i].want);
	}
	t_close(&t);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(i, 1 << 20);
}

static void test_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(i, 1);
}

static void test_splits(void **state)
{
	(void)state;
	srand(1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int k = 0; k < 40; k++)
			run(i, k < 20 ? 0 : (size_t)k - 17);
}

/* A NUL cannot stand in the table. */
static void test_nul(void **state)
{
	static const char *const heads[] = { "GET / HTTP/1.1\r\nHost: h\r\nx: a",
	  "GET / HTTP/1.1\r\nHost: h\r\nx",
					     "GET /", "GE", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		for (size_t piece = 1; piece < 60; piece += 58) {
			struct buf in = { 0 };
			struct t_peer t;

			buf_add_slice(&in, slice_str(heads[i]));
			buf_add(&in, "\0", 1);
			buf_add_slice(&in, SLICE(": HTTP/1.1\r\nHost: h\r\n\r\n"));
			t_open(&t, CODEC_SERVER, NULL, NULL);
			t_feed(&t, buf_slice(&in), piece);
			assert_string_equal(t_text(&t.log), CHARACTERS);
			t_close(&t);
			buf_done(&in);
		}
}

static void test_one_mib_of_headers(void **state)
{
	struct buf in = { 0 };
	struct t_peer t;

	(void)state;
	buf_add_slice(&in, SLICE(GET H "x: "));
	for (int i = 0; i < 1 << 20; i++)
		buf_add_char(&in, 'a');
	for (size_t piece = 1000; piece < (1u << 23); piece *= 80) {
		t_open(&t, CODEC_SERVER, NULL, NULL);
		assert_false(t_feed(&t, buf_slice(&in), piece));
		assert_string_equal(t_text(&t.log), "fault 431 http1.headers_too_large E2BIG\n");
		assert_true(t.arena.total < 4 * CODEC_HEAD_BYTES);
		assert_memory_equal(buf_ptr(&t.out),
			"HTTP/1.1 431 Request Header Fields Too Large\r\n", 46);
		t_close(&t);
	}
	buf_done(&in);
}

static void test_empty_lines_are_limited(void **state)
{
	struct buf in = { 0 };

	(void)state;
	for (int i = 0; i < HTTP1_EMPTY_LINES; i++)
		buf_add_slice(&in, SLICE("\r\n"));
	for (int over = 0; over < 2; over++) {
		struct t_peer t;

		if (over)
			buf_add_slice(&in, SLICE("\r\n"));
		t_open(&t, CODEC_SERVER, NULL, NULL);
		assert_int_equal(t_feed(&t, buf_slice(&in), 1 << 20), !over);
		assert_int_equal(codec_http1.is_idle(t.conn), true);
		t_close(&t);
	}
	buf_done(&in);
}

static void test_head_limit_is_exact(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct codec_limits limits = { .head_bytes = sizeof(head) - 1 };
	struct t_peer t;

	(void)state;
	for (int over = 0; over < 2; over++)
		for (size_t piece = 1; piece < 40; piece++) {
			limits.head_bytes = (uint32_t)sizeof(head) - 1 - (uint32_t)over;
			t_open(&t, CODEC_SERVER, &limits, NULL);
			assert_int_equal(t_feed(&t, SLICE("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
				piece), !over);
			assert_int_equal(codec_http1.is_reusable(t.conn), !over);
			t_close(&t);
		}
}

/* A fault stays: nothing that follows is read. */
static void test_fault_stays(void **state)
{
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_SERVER, NULL, NULL);
	assert_false(t_feed(&t, SLICE("BAD\r\n\r\n"), 100));
	assert_true(t_decode(&t, GET H "\r\n", 27) < 0);
	assert_false(codec_http1.is_reusable(t.conn));
	assert_null(strstr(t_text(&t.log), "head"));
	t_close(&t);
}

static void test_head_may_stop(void **state)
{
	static const char in[] = "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab";
	struct t_peer t;
	ssize_t r;

	(void)state;
	t_open(&t, CODEC_SERVER, NULL, NULL);
	t.stop_after = 1;
	r = t_decode(&t, in, sizeof(in) - 1);
	assert_int_equal(r, sizeof(in) - 3);
	assert_int_equal(t_decode(&t, in + r, 2), 2);
	assert_string_equal(t_text(&t.log),
	  "head POST http h / len=2 | content-length=2;\nbody ab\nend\n");
	t_close(&t);
}

static int refuse_head(void *owner, struct l7_msg *m, bool end)
{
	(void)owner;
	(void)m;
	(void)end;
	return -ECANCELED;
}

static void test_callback_gives_up(void **state)
{
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_SERVER, NULL, NULL);
	t.ev.head = refuse_head;
	assert_int_equal(t_decode(&t, GET H "\r\n", 27), -ECANCELED);
	t_close(&t);
}

static void test_eof(void **state)
{
	static const struct {
		const char *in, *want;
	} eofs[] = {
		{ "", "eof ok\n" },
		{ "\r\n", "eof ok\n" },
		{ "GET /", "eof http1.message_cut\n" },
		{ GET H "\r\n", "head GET http h / len=0 end |\neof ok\n" },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\na",
		  "head POST http h / len=2 | content-length=2;\nbody a\neof http1.message_cut\n" },
		{ CHUNKED "0\r\n", CHUNKED_HEAD "eof http1.message_cut\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(eofs); i++) {
		struct t_peer t;

		t_open(&t, CODEC_SERVER, NULL, NULL);
		t_feed(&t, slice_str(eofs[i].in), 1);
		t_eof(&t);
		assert_string_equal(t_text(&t.log), eofs[i].want);
		t_close(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_splits),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_one_mib_of_headers),
		cmocka_unit_test(test_empty_lines_are_limited),
		cmocka_unit_test(test_head_limit_is_exact),
		cmocka_unit_test(test_fault_stays),
		cmocka_unit_test(test_head_may_stop),
		cmocka_unit_test(test_callback_gives_up),
		cmocka_unit_test(test_eof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
