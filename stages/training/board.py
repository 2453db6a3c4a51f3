"""Curves to watch while a model trains, in TensorBoard."""

from pathlib import Path

from stages.training.keras_setup import keras

FOLDER = Path(".work/tensorboard")


class TensorBoard(keras.callbacks.TensorBoard):
    """Writes once an epoch.

    So does Keras's own, but it also makes a summary of every batch, only to drop it. That took 0.4
    ms of LeNet-5's steps of about 10. (Keras Tuner knows the callback by the name of its class.)
    """

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_end(batch)
