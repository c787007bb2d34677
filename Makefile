# `make` alone lists what there is. Nothing newer than GNU make 3.81 (macOS has that one).
SHELL := /bin/sh
output := ml/output/credit-card-fraud

# Commands of the project's own environment come first, whatever else is activated.
in_venv = PATH="$(CURDIR)/.venv/bin:$$PATH"
shell_scripts = $$(find . \( -name .venv -o -name .cache -o -name .git -o -name .dvc \) -prune \
	-o -type f \( -name '*.sh' -o -path ./.ci/run \) -print)

export DVC_NO_ANALYTICS := 1

.PHONY: $(shell sed -n 's/^\([a-z][a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

install: ## Install what Pipfile.lock pins into .venv (PYTHON=… takes that Python)
	@scripts/install.sh

ifdef CARD
run: install
	@$(in_venv) fraudloop use $(CARD) > /dev/null
	@$(in_venv) && export PATH && cd runs/$(CARD) && dvc repro && fraudloop payload ml/input/api/payload.json
	@scripts/try_serving.sh $(CARD)
	@printf '%s\n' '' 'report       runs/$(CARD)/ml/output/$(CARD)/report.html' \
		'model card   runs/$(CARD)/ml/output/$(CARD)/model-card.md' \
		'metrics      runs/$(CARD)/ml/output/$(CARD)/metrics.json'
else
run: install ## Run the pipeline, serve payload.json once, say where the results are (CARD=…: on another card)
	@test -e .git || grep -qs no_scm .dvc/config.local || $(in_venv) dvc config --local core.no_scm true
	@$(in_venv) dvc repro
	@scripts/try_serving.sh
	@printf '%s\n' '' 'report       $(output)/report.html' 'model card   $(output)/model-card.md' \
		'metrics      $(output)/metrics.json' 'plots        $(output)/plots/' \
		'data report  $(output)/data-report.json'
endif

serve: ## Serve the model on http://127.0.0.1:8080 (PORT=…), in Docker where it answers (ENGINE=local: without)
	@scripts/serve.sh

predict: install ## Let the server of `make serve` decide payload.json
	@$(in_venv) fraudloop predict --server http://127.0.0.1:$(or $(PORT),8080) ml/input/api/payload.json

batch: ## Turn payload.json into response.json: in Docker where it answers (ENGINE=local: without)
	@scripts/batch_predict/batch_predict.sh

test: install ## Run every test this machine can run, and say which it cannot and why
	@$(in_venv) python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: install ## Lint and type-check everything
	@$(in_venv) ruff check
	@$(in_venv) ruff format --check
	@$(in_venv) mypy
	@$(in_venv) shellcheck $(shell_scripts)
	@$(in_venv) yamllint --strict .

bench: install ## Measure the pipeline: time, memory, how both grow
	@$(in_venv) python bench/pipeline.py

bench-tune: install ## Measure what ten minutes of `fraudloop tune` find from a cold start
	@$(in_venv) python bench/tuning.py

bench-serving: install ## Measure the server beside a bare one and other model servers (PEERS=no: without)
	@$(in_venv) python bench/serving.py $(if $(filter no,$(PEERS)),,--peers)

bench-ledger: install ## Measure keeping decisions in PostgreSQL beside a bare COPY, and in SQLite
	@$(in_venv) python bench/ledger.py

bench-promotion: install ## Measure how soon a promotion decides on every server, under load
	@PYTHONPATH=src:. $(in_venv) python bench/promotion.py

bench-drift: install ## Measure drift: false alarms, power, a million rows, the size of a page
	@$(in_venv) python bench/drift.py

bench-batch: install ## Measure `fraudloop batch` beside reading and writing alone
	@$(in_venv) python bench/batch.py

bench-stream: install ## Measure the stream against a real broker and a real PostgreSQL
	@PYTHONPATH=. $(in_venv) python bench/stream.py

image: ## Build the image fraudloop:VERSION around the model (BASE=… takes another base image)
	@scripts/image.sh

image-tar: ## Write that image to dist/fraudloop-VERSION.tar.gz, for `docker load` on a server
	@scripts/image.sh tar

# STACK=name, REGION=…, SET="Name=value …" (a template's parameters), DRY_RUN=yes: only the plan.
stack = $(in_venv) python deploy/aws/stack.py
planned = $(if $(STACK),--stack $(STACK)) $(if $(REGION),--region $(REGION)) $(if $(DRY_RUN),--dry-run) \
	$(foreach each,$(SET),--set '$(each)')

deploy-simple: install ## AWS: one instance that builds and serves (TAR=…: that image instead)
	@$(stack) deploy simple $(planned) $(if $(TAR),--image-tar $(TAR))

deploy-build: install ## AWS: CodeBuild and ECR; `make deploy-build` then says how to build
	@$(stack) deploy build $(planned)

deploy-runtime: install ## AWS: two tasks behind a load balancer (DRY_RUN=yes, SET=…, STACK=…)
	@$(stack) deploy runtime $(planned)

undeploy: install ## AWS: remove the stack STACK=… (DRY_RUN=yes: show what would go)
	@$(stack) undeploy $(or $(STACK),$(error Say which: make undeploy STACK=fraudloop-simple)) \
		$(if $(REGION),--region $(REGION)) $(if $(DRY_RUN),--dry-run)

try-image: ## Run the image once, as a server would, and ask it
	@scripts/try_image.sh

publish-image: install ## Push the image to TO=registry/name, by its version
	@scripts/publish_image.sh '$(TO)'

sign-image: ## Sign the pushed image DIGEST=…@sha256:… and attest its SBOM
	@scripts/sign_image.sh '$(DIGEST)'

prove-user-data: install ## Run the instance's user data in a bare Debian root (as root, long)
	@deploy/aws/prove_user_data.sh

model: install ## Run what of the pipeline has changed
	@$(in_venv) dvc repro

model-pull: install ## The same with what DVC's remote has
	@$(in_venv) dvc pull --allow-missing
	@$(in_venv) dvc repro --pull

model-push: install ## Give DVC's remote what is new
	@$(in_venv) dvc push

model-locked: ## Fail where dvc.lock is not what its code gives
	@git diff --exit-code -- dvc.lock $(output)/metrics.json || \
		{ echo 'dvc.lock is not what its code gives: run `dvc repro` and commit it.' >&2; exit 1; }

model-report: install ## Compare metrics, parameters and plots with BASE=main: dist/model-report/
	@$(in_venv) python scripts/model_report.py write $(or $(BASE),main) dist/model-report/report.md
	@$(in_venv) dvc plots diff $(or $(BASE),main) --out dist/model-report/plots >/dev/null

report-comment: ## Put that report under the pull request (in a workflow)
	@python3 scripts/model_report.py comment dist/model-report/report.md

audit: install ## Ask pip-audit about all that is pinned (supply-chain/exceptions.yaml)
	@$(in_venv) python scripts/audit.py

licences: install ## Hold every package's licence against supply-chain/licences.yaml
	@$(in_venv) python scripts/licences.py

sbom: install ## Write what the image has of Python to dist/sbom.cdx.json (CycloneDX)
	@scripts/sbom.sh

checkov: ## Hold the templates of deploy/aws against checkov's rules
	@scripts/checkov.sh

cloud-lint: install ## cfn-lint over the templates, zizmor over the workflows
	@$(in_venv) cfn-lint deploy/aws/simple.yaml deploy/aws/build.yaml deploy/aws/runtime.yaml
	@$(in_venv) zizmor --offline --quiet .github

actionlint: install ## actionlint over the workflows
	@scripts/actionlint.sh

up: ## Start the whole platform in Docker: API, stream, ledger, registry, metrics (docs/platform.md)
	@scripts/platform.sh up

down: ## Stop the platform; its data stay
	@scripts/platform.sh down

airflow: ## Set up Airflow in .cache/apart/airflow, for deploy/airflow (docs/airflow.md)
	@scripts/apart.sh airflow

airflow-up: airflow ## Run Airflow with the project's DAGs on 127.0.0.1:8090 (PORT=…), until Ctrl-C
	@deploy/airflow/airflow.sh up

lock: ## Pin the newest versions the Pipfile allows (needs Python 3.11)
	@scripts/lock.sh

clean: ## Remove .venv and every cache; data, models and DVC's cache stay
	@rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis build dist src/*.egg-info
	@find src tests scripts bench -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
