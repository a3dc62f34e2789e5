/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text -> JSON values (libyaml, jansson), with limits. One document; anchors, aliases and
 * merge keys; quoted scalars are text.
 */
#ifndef SKIFF_XDS_YAML_H
#define SKIFF_XDS_YAML_H

#include <jansson.h>

#include "base/err.h"
#include "base/slice.h"

#define YAML_FILE_MAX 16777216 /* bytes of one file */
#define YAML_DEPTH_MAX 200     /* lists and maps within each other */
#define YAML_NODES_MAX 4000000 /* values, with aliases counted as often as they are used */
#define YAML_ANCHORS_MAX 1000

/*
 * How plain (unquoted) scalars are read. true, false and null are the only keywords in both; yes,
 * no, on, off stay text, and protojson takes them for a boolean field, as Envoy's files may have
 * them.
 */
enum yaml_typing {
	YAML_TYPING_CORE,  /* 64-bit numbers, fractions */
	YAML_TYPING_ENVOY, /* as Envoy: numbers over 32 bits and fractions are text (protojson turns
			    * them into what the field needs) */
};

/* Reads @text; @name stands in messages ("file:line:column: reason"). 0 and a new value; -EINVAL,
 * -E2BIG. */
int yaml_parse(struct slice text, const char *name, enum yaml_typing typing, json_t **ret_j,
	       struct err *e);
/* Reads a file: YAML, or JSON when its name ends in ".json". An empty one gives {}. */
int yaml_load(const char *path, enum yaml_typing typing, json_t **ret_j, struct err *e);
/* The whole text of a file of at most @max bytes; free it. -errno with @e. */
int yaml_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *e);

/* Is @s @word in lower case, in upper case, or with a capital: the forms of a keyword? */
bool yaml_word_is(const char *s, const char *word);

#endif
