/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the readers of skiffd's own file: what a field is read with. */
#ifndef SKIFF_XDS_SKIFFD_CONFIG_IMPL_H
#define SKIFF_XDS_SKIFFD_CONFIG_IMPL_H

#include <jansson.h>

#include "xds/path.h"
#include "xds/skiffd_config.h"

struct config_reader {
	struct arena *a;
	const char *base; /* folder for relative paths; NULL: as they are */
	struct xds_path path;
	struct xds_report *report;
	struct err *err;
};

struct config_field {
	const char *name;
	int (*read)(struct config_reader *r, const json_t *j, void *obj);
};

/* All answer 0, or -EINVAL with the place and what is needed there. */
int config_fail(struct config_reader *r, const char *fmt, ...) printf_like(2, 3);
int config_text_read(struct config_reader *r, const json_t *j, char **ret_s);
int config_bool_read(struct config_reader *r, const json_t *j, bool *ret_b);
int config_u32_read(struct config_reader *r, const json_t *j, uint32_t min, uint32_t max,
		    uint32_t *ret_v);
/* "15s", "500ms", or a whole number of seconds; at most an hour. */
int config_time_read(struct config_reader *r, const json_t *j, uint32_t *ret_ms);
/* One of @words; its number. */
int config_word_read(struct config_reader *r, const json_t *j, const char *const *words, size_t n,
		     int *ret_i);
/* Every element of a list; @size bytes each in a new array. */
int config_list_read(struct config_reader *r, const json_t *j, size_t max, size_t size,
		     int (*read)(struct config_reader *r, const json_t *j, void *obj), void **ret_v,
		     uint32_t *ret_n);
/* A file or folder (char **): made absolute where the base is known. */
int config_path_read(struct config_reader *r, const json_t *j, void *obj);
/* The fields of an object; one that is not in the table is an error. */
int config_object_read(struct config_reader *r, const json_t *j, const struct config_field *fields,
		       size_t n, void *obj);

/* The section xds (skiffd_config_xds.c). */
int config_xds_read(struct config_reader *r, const json_t *j, struct skiffd_xds *x);

#endif
