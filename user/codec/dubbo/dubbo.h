/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Dubbo protocol (dubbo://, not Triple) behind codec.h. Requests are taken whole and walked for
 * interface, version, method, group and attachments; answers pass through unread. Both are
 * forwarded as the bytes that came, with another id: properties are read-only here, a changed one
 * does not reach the wire.
 */
#ifndef SKIFF_CODEC_DUBBO_DUBBO_H
#define SKIFF_CODEC_DUBBO_DUBBO_H

#include "codec/codec.h"

/* Frames of events (heartbeat, read-only) that are larger break the protocol. */
#define DUBBO_EVENT_BYTES 4096
/* Answers with a body up to this are raised whole; longer ones are streamed while they come. */
#define DUBBO_WHOLE_BYTES 16384

/* Statuses of an answer: id, number, text for logs. */
#define DUBBO_STATUSES(X) \
	X(OK, 20) X(SERIALIZATION_ERROR, 25) X(CLIENT_TIMEOUT, 30) X(SERVER_TIMEOUT, 31) \
	X(CHANNEL_INACTIVE, 35) X(BAD_REQUEST, 40) X(BAD_RESPONSE, 50) X(SERVICE_NOT_FOUND, 60) \
	X(SERVICE_ERROR, 70) X(SERVER_ERROR, 80) X(CLIENT_ERROR, 90) \
	X(SERVER_THREADPOOL_EXHAUSTED_ERROR, 100)

enum dubbo_status {
#define X(id, number) DUBBO_##id = number,
	DUBBO_STATUSES(X)
#undef X
};

/*
 * What the codec adds to the contract:
 * - control texts: "heartbeat" (answered), "heartbeat_reply" (swallowed), "readonly" and "writable"
 *   (client side: the provider will stop, or takes calls again; after "readonly" is_reusable is
 *   false, calls in flight still end), "event" (another event, swallowed), "bad_request" and
 *   "bad_serialization" (a request whose body cannot be read: answered with status 40 unless
 *   one-way; the connection goes on), "callback" (client side: a provider that calls its consumer:
 *   refused), "stray_response" (server side: swallowed).
 * - requests and answers that are raised whole have raw set and end true. A streamed answer has
 *   raw empty; its bytes must not be mixed with other messages on the connection that it is written
 *   to: see is_writing.
 * - an answer's is_ok is false for a status other than OK and for an exception of the service
 *   (then status is OK). wire keeps flag and status, so encode_head can write the header again.
 */
extern const struct codec codec_dubbo;

/*
 * Server side: tells the client to send no new calls on this connection (a read-only event), once
 * a connection. After want_close the next answer brings it along; for an idle connection call this.
 */
void codec_dubbo_write_readonly(void *conn, struct buf *out);

#endif
