/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of formats only: parts, and how one is appended. */
#ifndef SKIFF_L7_FORMAT_IMPL_H
#define SKIFF_L7_FORMAT_IMPL_H

#include "l7/format.h"

enum value_kind { VALUE_ABSENT, VALUE_TEXT, VALUE_NUMBER };

struct part;

/* Appends the value of one operator to @out. */
typedef enum value_kind (*part_fn)(const struct part *p, const struct l7_info *in, struct buf *out);

/* A property or one of the message's fields, by name. */
struct name_ref {
	struct slice name; /* lower case; empty: none */
	enum { REF_PROP, REF_PATH, REF_METHOD, REF_AUTHORITY, REF_SCHEME, REF_STATUS } field;
	enum l7_key key;
	bool joined;
};

struct part {
	part_fn append;	    /* NULL: literal text */
	struct slice text;  /* the literal, or the operator's argument */
	struct name_ref main, alt;
	uint32_t option, option2; /* the operator's own */
	const struct part *choices; /* COALESCE: option of them */
	size_t max_len;	    /* SIZE_MAX: all */
};

struct l7_format {
	struct part *parts;
	uint32_t n;
	const char *copy; /* of the format's text, into which literals point */
	size_t copy_len;
};

/* One command as written, between its two '%'. */
struct command {
	struct slice name, args, length;
	bool has_args, has_length;
	size_t used; /* bytes with both '%' */
};

/* Compiles a command that stands at @at of the format. 0, or -EINVAL with @e. */
int part_compile(const struct command *c, size_t at, struct part *p, struct arena *a,
		 struct err *e);
/* Appends one part's value, cut to its length. */
enum value_kind part_append(const struct part *p, const struct l7_info *in, struct buf *out);

enum op_args { ARGS_NONE, ARGS_MAY, ARGS_MUST };

struct op {
	const char *name;
	part_fn append;
	enum op_args args;
	bool has_length; /* ":Z" is allowed */
	uint32_t option;
	/* Reads the argument into @p, or NULL. 0, or -EINVAL with @e. */
	int (*prepare)(struct part *p, struct slice args, struct arena *a, struct err *e);
};

/* The operator of that name, or NULL. */
const struct op *op_find(struct slice name);

/* Operators over properties and paths (format_names.c). */
int prepare_names(struct part *p, struct slice args, struct arena *a, struct err *e);
int prepare_path(struct part *p, struct slice args, struct arena *a, struct err *e);
enum value_kind append_request(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_response(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_trailer(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_without_query(const struct part *p, const struct l7_info *in,
				     struct buf *out);
enum value_kind append_path(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_query_param(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_query(const struct part *p, const struct l7_info *in, struct buf *out);
/* Operators about the upstream of a stream and about both connections (format_peer.c). */
enum { PEER_ALL, PEER_NO_PORT, PEER_ATTEMPTED = 2 };
enum value_kind append_host_name(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_host(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_upstream_protocol(const struct part *p, const struct l7_info *in,
					 struct buf *out);
enum value_kind append_connections_attempted(const struct part *p, const struct l7_info *in,
					     struct buf *out);
enum value_kind append_pool_duration(const struct part *p, const struct l7_info *in,
				     struct buf *out);
enum value_kind append_close_type(const struct part *p, const struct l7_info *in, struct buf *out);
enum value_kind append_server_name(const struct part *p, const struct l7_info *in, struct buf *out);
int prepare_server_name(struct part *p, struct slice args, struct arena *a, struct err *e);
/* COALESCE (format_coalesce.c). */
int prepare_coalesce(struct part *p, struct slice args, struct arena *a, struct err *e);
enum value_kind append_coalesce(const struct part *p, const struct l7_info *in, struct buf *out);
/* Operators over the gRPC status (format_grpc.c). */
enum { GRPC_CAMEL, GRPC_SNAKE, GRPC_NUMBER };
int prepare_grpc(struct part *p, struct slice args, struct arena *a, struct err *e);
enum value_kind append_grpc_status(const struct part *p, const struct l7_info *in, struct buf *out);

/* Appends @wall_ns in @format (strftime and Envoy's %3f, %f, %s, %E4S), or the default form when
 * @format is empty. */
void time_append(uint64_t wall_ns, struct slice format, bool local, struct buf *out);

#endif
