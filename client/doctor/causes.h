/* Which request caused what was found. */
#ifndef SHIMD_DOCTOR_CAUSES_H
#define SHIMD_DOCTOR_CAUSES_H

#include "client/doctor/finding.h"
#include "client/doctor/said.h"

/* From what is on the machine: a bundle, wherever it is now, and a shim's environment know the
 * request that made them. */
void causes_find(findings_t *findings, const machine_t *machine);

/* For those of which the machine does not know it, from the journal: the last request that was to
 * make or to remove what has that name, or else the last about it; none that was refused. */
void causes_ask(findings_t *findings, asker_t *asker);

#endif
