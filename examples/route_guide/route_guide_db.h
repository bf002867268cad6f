/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * route_guide_db.h: the places that the route guide's server knows. */
#ifndef EXAMPLES_ROUTE_GUIDE_DB_H
#define EXAMPLES_ROUTE_GUIDE_DB_H

#include "route_guide.sennit.h"

extern const rg_Feature features[]; /* an empty name: nothing known of the place */
extern const int n_features;

#endif
