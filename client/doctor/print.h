/* Findings as they are shown. */
#ifndef SHIMD_DOCTOR_PRINT_H
#define SHIMD_DOCTOR_PRINT_H

#include "client/doctor/finding.h"
#include "client/doctor/said.h"

/* A table, or one JSON object a line; each with what became of the request that caused it. */
void print_findings(findings_t *findings, asker_t *asker, bool json);

/* To standard error, a sentence for each comparison that could not be made. Their number. */
size_t print_failures(const asker_t *asker);

#endif
