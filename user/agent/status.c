/* SPDX-License-Identifier: Apache-2.0 */
/* What `skiffctl status` is told, as JSON. */
#include "agent/agent_impl.h"

json_t *agent_status(struct agent *a)
{
	json_t *o = json_object();

	json_object_set_new(o, "version",
			    json_integer(a->snap ? (json_int_t)a->snap->version : 0));
	json_object_set_new(o, "error", json_string(a->last_error));
	return o;
}
