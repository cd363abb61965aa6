from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0007_break_lock"),
    ]

    operations = [
        migrations.AlterField(
            model_name="conflict",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("waiting", "Waiting"),
                    ("granted", "Granted"),
                    ("holder_expired", "Holder Expired"),
                    ("timed_out", "Timed Out"),
                    ("deadlock", "Deadlock"),
                    ("cancelled", "Cancelled"),
                    ("notified", "Notified"),
                ],
                default="waiting",
                max_length=16,
            ),
        ),
    ]
