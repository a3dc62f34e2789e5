/* SPDX-License-Identifier: Apache-2.0 */
/* The message types that may stand in an Any, by name. */
#ifndef SKIFF_XDS_REGISTRY_H
#define SKIFF_XDS_REGISTRY_H

#include <protobuf-c/protobuf-c.h>

#include "base/slice.h"

/* "type.googleapis.com/a.b.C" -> "a.b.C"; a URL without '/' is taken as the name. */
struct slice registry_type_name(struct slice url);
/* The type's descriptor by its name or URL; NULL: not known. */
const ProtobufCMessageDescriptor *registry_find(struct slice name_or_url);

#endif
