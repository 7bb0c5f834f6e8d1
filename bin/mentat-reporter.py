#!/usr/bin/env python3
from mentat_reporter.script import MentatReporterScript

MentatReporterScript().run()
