"""Save the champion as MLflow's scikit-learn flavour: `mlflow_model.py MODEL FOLDER TRANSACTION`.

Runs in an environment of its own, before `mlflow models serve` does. With a signature, as MLflow
asks for: its server then checks every request for the columns by name and type, as ours does.
"""

from __future__ import annotations

import json
import sys

import joblib
import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature

if __name__ == "__main__":
    model, folder, transaction = sys.argv[1:]
    pipeline = joblib.load(model)
    example = pd.DataFrame([json.loads(transaction)], dtype="float64")
    # Its safer format, skops, wants every class of ours named; the bench made this file itself.
    mlflow.sklearn.save_model(
        pipeline,
        folder,
        serialization_format="cloudpickle",
        pip_requirements=[],
        pyfunc_predict_fn="predict_proba",
        signature=infer_signature(example, pipeline.predict_proba(example)),
    )
