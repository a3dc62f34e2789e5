/* SPDX-License-Identifier: Apache-2.0 */
/* The routes that need no mesh: help, readiness, logging, what this process is. */
#include <jansson.h>
#include <malloc.h>
#include <unistd.h>

#include "admin/admin_impl.h"
#include "base/clock.h"
#include "base/log.h"

#define OK 200
#define BAD_REQUEST 400
#define UNAVAILABLE 503

static const char *const state_names[] = {
#define X(id, name) [ADMIN_##id] = name,
	ADMIN_STATES(X)
#undef X
};

static enum admin_state state_of(const struct admin *a)
{
	return a->opts.state ? a->opts.state(a->opts.ctx) : ADMIN_LIVE;
}

void admin_write_help(const struct admin *a, const struct admin_request *req,
		      struct admin_reply *reply)
{
	buf_add_slice(&reply->body, SLICE("admin commands are:\n"));
	for (size_t i = 0; i < a->entries_n; i++) {
		const struct admin_route *r = a->entries[i].route;

		if (r->control_only && !req->control)
			continue;
		buf_printf(&reply->body, "  %s", r->path);
		if (strcmp(r->method, "GET") != 0)
			buf_printf(&reply->body, " (%s)", r->method);
		buf_printf(&reply->body, ": %s\n", r->help);
	}
}

static unsigned int handle_help(void *ctx, const struct admin_request *req,
				struct admin_reply *reply)
{
	admin_write_help(ctx, req, reply);
	return OK;
}

static unsigned int handle_ready(void *ctx, const struct admin_request *req,
				 struct admin_reply *reply)
{
	enum admin_state state = state_of(ctx);

	(void)req;
	return admin_text(reply, state == ADMIN_LIVE ? OK : UNAVAILABLE, "%s\n",
			  state_names[state]);
}

static const char logging_usage[] =
	"\nusage: /logging?skiff=<level>\n"
	"usage: /logging?paths=skiff:<level>\n"
	"usage: /logging?level=<level>\n"
	"levels: trace debug info warning error off\n";

static void show_level(struct admin_reply *reply)
{
	buf_printf(&reply->body, "active loggers:\n  skiff: %s\n\n",
		   log_level_name(log_level_get()));
}

static unsigned int refuse_level(struct admin_reply *reply, const char *what)
{
	buf_printf(&reply->body, "error: unknown logger %s\n%s", what, logging_usage);
	show_level(reply);
	return BAD_REQUEST;
}

/* The level that the query wants, NULL: none. @ret_known: it names no logger that we have not. */
static const char *wanted_level(const struct admin_request *req, bool *ret_known)
{
	const char *level = admin_query(req, "level");
	const char *paths = admin_query(req, "paths");

	*ret_known = true;
	if (!level)
		level = admin_query(req, "skiff");
	if (!level && paths) {
		*ret_known = strncmp(paths, "skiff:", 6) == 0;
		return *ret_known ? paths + 6 : NULL;
	}
	if (!level)
		*ret_known = !admin_has_query(req);
	return level;
}

static unsigned int handle_logging(void *ctx, const struct admin_request *req,
				   struct admin_reply *reply)
{
	enum log_level level;
	const char *name;
	bool known;

	(void)ctx;
	name = wanted_level(req, &known);
	if (!known)
		return refuse_level(reply, "name");
	if (name && !log_level_parse(name, &level))
		return refuse_level(reply, "level");
	if (name)
		log_level_set(level);
	show_level(reply);
	return OK;
}

static json_t *command_line(const struct admin *a)
{
	json_t *o = json_object();

	for (size_t i = 0; a->opts.command_line && a->opts.command_line[i][0]; i++)
		json_object_set_new(o, a->opts.command_line[i][0],
				    json_string(a->opts.command_line[i][1]));
	return o;
}

/* Takes @o. The text ends with a newline. */
static unsigned int reply_json(struct admin_reply *reply, json_t *o)
{
	char *text = json_dumps(o, JSON_INDENT(1));

	json_decref(o);
	if (!text)
		return admin_error(reply, 500, "the answer cannot be written as JSON");
	reply->type = ADMIN_JSON;
	buf_add_slice(&reply->body, slice_str(text));
	buf_add_char(&reply->body, '\n');
	free(text);
	return OK;
}

static unsigned int handle_server_info(void *ctx, const struct admin_request *req,
				       struct admin_reply *reply)
{
	const struct admin *a = ctx;
	const char *version = a->opts.version ? a->opts.version : "";
	char uptime[32];

	(void)req;
	snprintf(uptime, sizeof(uptime), "%llus",
		 (unsigned long long)((clock_mono_ns() - a->started_ns) / NSEC_PER_SEC));
	return reply_json(
		reply, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:{s:s, s:s}}", "version", version,
				 "state", state_names[state_of(a)], "uptime_current_epoch", uptime,
				 "uptime_all_epochs", uptime, "hot_restart_version", "disabled",
				 "command_line_options", command_line(a), "node", "user_agent_name",
				 "skiff", "user_agent_version", version));
}

static uint64_t resident_bytes(void)
{
	unsigned long long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A 64-bit number is a string in protobuf's JSON, and so in Envoy's. */
static json_t *number_text(uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return json_string(text);
}

struct admin_memory admin_memory_read(void)
{
	struct mallinfo2 m = mallinfo2();

	return (struct admin_memory){
		.allocated = m.uordblks + m.hblkhd,
		.heap = m.arena + m.hblkhd,
		.free = m.fordblks,
		.resident = resident_bytes(),
	};
}

static unsigned int handle_memory(void *ctx, const struct admin_request *req,
				  struct admin_reply *reply)
{
	struct admin_memory m = admin_memory_read();

	(void)ctx;
	(void)req;
	return reply_json(reply, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}",
					   "allocated", number_text(m.allocated),
					   "heap_size", number_text(m.heap),
					   "pageheap_unmapped", number_text(0),
					   "pageheap_free", number_text(m.free),
					   "total_thread_cache", number_text(0),
					   "total_physical_bytes", number_text(m.resident)));
}

static unsigned int handle_quit(void *ctx, const struct admin_request *req,
				struct admin_reply *reply)
{
	const struct admin *a = ctx;

	(void)req;
	log_info("admin", "asked to quit over the control socket");
	a->opts.quit(a->opts.ctx);
	return admin_text(reply, OK, "OK\n");
}

static const struct admin_route own[] = {
	{ "GET", "/", false, handle_help, "this text" },
	{ "GET", SKIFF_PATH_HELP, false, handle_help, "this text" },
	{ "GET", SKIFF_PATH_READY, false, handle_ready,
	  "200 LIVE when traffic is served, else 503 and the state" },
	{ "GET", SKIFF_PATH_SERVER_INFO, false, handle_server_info,
	  "version, state, uptime, command line" },
	{ "GET", SKIFF_PATH_MEMORY, false, handle_memory, "bytes allocated and resident" },
	{ "POST", SKIFF_PATH_LOGGING, false, handle_logging,
	  "the log level; ?level=trace|debug|info|warning|error|off sets it" },
};

static const struct admin_route quit[] = {
	{ "POST", SKIFF_PATH_QUIT, true, handle_quit, "stop skiffd" },
};

void admin_add_own(struct admin *a)
{
	admin_add(a, own, ARRAY_LEN(own), a);
	if (a->opts.quit)
		admin_add(a, quit, ARRAY_LEN(quit), a);
}
