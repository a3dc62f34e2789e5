/* SPDX-License-Identifier: Apache-2.0 */
/* One request to skiffd over the control socket. HTTP is libcurl's. */
#include <curl/curl.h>

#include "cli/cli_impl.h"

struct call {
	struct buf body;
	bool too_big;
	long status;
	CURLcode code;
};

static size_t collect(char *p, size_t size, size_t n, void *arg)
{
	struct call *call = arg;

	if (buf_len(&call->body) + size * n > CLI_ANSWER_MAX) {
		call->too_big = true;
		return 0;
	}
	buf_add(&call->body, p, size * n);
	return size * n;
}

/* The exchange itself; the result is in @call, whose body the caller gives back. */
static void perform(struct cli *c, const char *method, const char *target, struct slice body,
		    struct call *call)
{
	struct curl_slist *headers = NULL;
	CURL *curl = curl_easy_init();
	char *url = xasprintf("http://skiffd%s", target);

	*call = (struct call){ .code = CURLE_FAILED_INIT };
	if (!curl)
		goto out;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CLI_TIMEOUT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	if (body.len) {
		headers = curl_slist_append(NULL, "Content-Type: application/json");
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.ptr);
	}
	call->code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &call->status);
out:
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	free(url);
}

static void say_unreachable(struct cli *c, const struct call *call)
{
	if (call->too_big)
		cli_fail(c, 0, "skiffd's answer is over %u MiB", CLI_ANSWER_MAX >> 20);
	else if (call->code == CURLE_OPERATION_TIMEDOUT)
		cli_fail(c, 0, "skiffd at %s did not answer within %d s", c->socket,
			 CLI_TIMEOUT_SECONDS);
	else if (call->code == CURLE_COULDNT_CONNECT)
		cli_fail(c, 0,
			 "no skiffd answers at %s: start skiffd or give --socket PATH (it takes "
			 "root to reach the socket)",
			 c->socket);
	else
		cli_fail(c, 0, "asking skiffd at %s: %s", c->socket,
			 curl_easy_strerror(call->code));
}

/* A refusal says why in {"error": ...} or as text. */
static void say_refused(struct cli *c, const char *method, const char *target, struct call *call)
{
	json_t *o = json_loadb(buf_ptr(&call->body), buf_len(&call->body), 0, NULL);
	const char *why = json_string_value(json_object_get(o, "error"));
	struct slice text = slice_trim(buf_slice(&call->body));

	while (text.len && text.ptr[text.len - 1] == '\n')
		text.len--;
	if (why)
		text = slice_str(why);
	if (call->status == 404 && !why)
		cli_fail(c, 0, "this skiffd has no %s %s: are skiffctl and skiffd of one version?",
			 method, target);
	else
		cli_fail(c, 0, "skiffd refuses (%ld): %.*s", call->status, SLICE_ARG(text));
	json_decref(o);
}

int cli_ask(struct cli *c, const char *method, const char *target, struct slice body,
	    struct buf *ret_body)
{
	struct call call;

	perform(c, method, target, body, &call);
	if (call.code == CURLE_OK && call.status >= 200 && call.status < 300) {
		*ret_body = call.body;
		return 0;
	}
	if (call.code != CURLE_OK)
		say_unreachable(c, &call);
	else
		say_refused(c, method, target, &call);
	buf_done(&call.body);
	return -1;
}

json_t *cli_ask_json(struct cli *c, const char *method, const char *target, struct slice body)
{
	struct buf answer = { 0 };
	json_error_t e;
	json_t *o;

	if (cli_ask(c, method, target, body, &answer))
		return NULL;
	o = json_loadb(buf_ptr(&answer), buf_len(&answer), 0, &e);
	if (!json_is_object(o)) {
		cli_fail(c, 0, "skiffd's answer to %s %s is no JSON object: %s", method, target,
			 o ? "another kind" : e.text);
		json_decref(o);
		o = NULL;
	}
	buf_done(&answer);
	return cli_json_clean(o);
}

int cli_print_answer(struct cli *c, const char *method, const char *target)
{
	struct buf answer = { 0 };
	char *text;

	if (cli_ask(c, method, target, SLICE_NONE, &answer))
		return CLI_FAILED;
	text = cli_text(buf_slice(&answer), "\n\t");
	fputs(text, c->env->out);
	free(text);
	buf_done(&answer);
	return CLI_OK;
}

bool cli_is_running(struct cli *c)
{
	struct call call;

	perform(c, "GET", SKIFF_PATH_READY, SLICE_NONE, &call);
	buf_done(&call.body);
	return call.code == CURLE_OK;
}

void cli_add_query(struct buf *target, const char *name, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	bool first = slice_find(buf_slice(target), '?') < 0;

	buf_printf(target, "%c%s=", first ? '?' : '&', name);
	for (const char *p = value; *p; p++) {
		unsigned char u = (unsigned char)*p;

		if (isalnum(u) || strchr("-._~", u)) {
			buf_add_char(target, *p);
			continue;
		}
		buf_add_char(target, '%');
		buf_add_char(target, hex[u >> 4]);
		buf_add_char(target, hex[u & 15]);
	}
}
