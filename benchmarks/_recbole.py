"""RecBole's LightGCN, trained and timed; run by an interpreter that has RecBole (see `benchmarks.training`), as a file.

Nothing of Tailorbird is imported here. `FOLDER` holds `data/data.{train,valid,test}.inter`; `lists.json` is written
there: for each user the ten items that the best state ranks highest among those not in `train`. The last line is
one of JSON.

    python benchmarks/_recbole.py FOLDER '{"layers": 3, "dim": 64, "batch": 2048, ...}'
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.trainer import Trainer
from recbole.utils import init_seed


def main() -> None:
    """See the module."""
    folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(asked["threads"])
    config = Config(
        model="LightGCN",
        dataset="data",
        config_dict={
            "data_path": str(folder),
            "checkpoint_dir": str(folder),
            "benchmark_filename": ["train", "valid", "test"],
            "load_col": {"inter": ["user_id", "item_id"]},
            "embedding_size": asked["dim"],
            "n_layers": asked["layers"],
            "learning_rate": asked["learning_rate"],
            "reg_weight": asked["penalty"],
            "train_batch_size": asked["batch"],
            "eval_batch_size": 100_000_000,
            "seed": asked["seed"],
            "use_gpu": False,
            "metrics": ["NDCG"],
            "topk": [10],
            "valid_metric": "NDCG@10",
            "show_progress": False,
            "state": "WARNING",
        },
    )
    init_seed(config["seed"], reproducibility=False)
    dataset = create_dataset(config)
    train, valid, _ = data_preparation(config, dataset)
    model = LightGCN(config, train.dataset)
    trainer = Trainer(config, model)
    best, state, best_epoch = -1.0, None, 0
    seconds, curve = [], []
    for epoch in range(1, asked["epochs"] + 1):
        began = time.perf_counter()
        trainer._train_epoch(train, epoch)
        seconds.append(time.perf_counter() - began)
        if epoch % asked["validate_every"]:
            continue
        model.restore_user_e = model.restore_item_e = None
        figure, _ = trainer._valid_epoch(valid)
        curve.append((epoch, round(float(figure), 5)))
        if figure > best:
            best, best_epoch = float(figure), epoch
            state = {name: value.clone() for name, value in model.state_dict().items()}
        elif epoch - best_epoch >= asked["patience"]:
            break
    assert state is not None
    model.load_state_dict(state)
    _write_lists(model, train.dataset, folder / "lists.json")
    print(
        json.dumps(
            {
                "epoch_s": float(np.median(seconds)),
                "epochs": len(seconds),
                "best_epoch": best_epoch,
                "best_after_s": sum(seconds[:best_epoch]),
                "validation": best,
                "curve": curve[:: max(1, len(curve) // 10)],
                "steps_per_epoch": len(train),
            }
        )
    )


def _write_lists(model: LightGCN, dataset: object, path: Path) -> None:
    with torch.no_grad():
        users, items = model.forward()
        scores = (users @ items.T).numpy()
    met = dataset.inter_matrix(form="csr")  # type: ignore[attr-defined]
    rows, columns = met.nonzero()
    scores[rows, columns] = -np.inf
    scores[:, 0] = -np.inf  # padding
    best = np.argsort(-scores, axis=1)[:, :10]
    tokens = {name: dataset.field2id_token[name] for name in ("user_id", "item_id")}  # type: ignore[attr-defined]
    lists = {str(tokens["user_id"][u]): [str(tokens["item_id"][i]) for i in best[u]] for u in range(1, len(best))}
    path.write_text(json.dumps(lists))


if __name__ == "__main__":
    main()
